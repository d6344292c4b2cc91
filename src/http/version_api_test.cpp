#include "http/app_fixture.h"

namespace switchyard::http {
namespace {

using testing::AppTest;

class Versions : public AppTest {
 protected:
  void SetUp() override {
    restart({.versions = {.list = [](const std::string& model) -> Result<std::vector<registry::VersionInfo>> {
                            registry::VersionInfo info;
                            info.ref = {model, "1"};
                            info.file = "/m/b1";
                            info.added_by = "config";
                            return std::vector{info};
                          },
                          .add = [this](const NewVersion& version) -> Result<models::VersionRef> {
                            asked_ = version;
                            return models::VersionRef{version.model, "1"};
                          },
                          .remove = [](const models::VersionRef& version) -> Status {
                            if (version.version == "1") return fail(ErrorCode::kConflict, "held");
                            return {};
                          }}});
  }
  NewVersion asked_;
};

TEST_F(Versions, AreListedWithWhatHoldsThem) {
  const Json list = json(ask("GET", "/admin/v1/models/b/versions"));
  EXPECT_EQ(list["model"], "b");
  EXPECT_EQ(list["versions"][0]["id"], "b@1");
  EXPECT_EQ(list["versions"][0]["names"], Json::array({"chat"}));
  EXPECT_EQ(list["versions"][0]["state"], "cold");
  EXPECT_TRUE(list["versions"][0]["sha256"].is_null());
  EXPECT_EQ(json(ask("GET", "/admin/v1/models/b/versions/1"))["file"], "/m/b1");
  EXPECT_EQ(ask("GET", "/admin/v1/models/b/versions/9").status, 404);
  EXPECT_EQ(ask("GET", "/admin/v1/models/nope/versions").status, 404);
}

TEST_F(Versions, AreAddedAndRemoved) {
  const auto added =
      ask("POST", "/admin/v1/models/b/versions",
          R"({"version":"x","file":"f.gguf","args":{"ctx-size":512,"jinja":true},"notes":"n"})");
  EXPECT_EQ(added.status, 201) << added.body;
  EXPECT_EQ(asked_.model, "b");
  EXPECT_EQ(asked_.args.at("ctx-size"), "512");
  EXPECT_EQ(asked_.args.at("jinja"), "true");
  EXPECT_EQ(ask("DELETE", "/admin/v1/models/b/versions/1").status, 409);
  EXPECT_EQ(ask("DELETE", "/admin/v1/models/b/versions/2").status, 200);
  for (const char* body : {"", "[]", R"({"file":7})", R"({"file":"f","args":[]})",
                           R"({"file":"f","args":{"a":{}}})", R"({"file":"f","flie":"g"})"}) {
    EXPECT_EQ(ask("POST", "/admin/v1/models/b/versions", body).status, 400) << body;
  }
  restart({});
  EXPECT_EQ(ask("GET", "/admin/v1/models/b/versions").status, 501);
}

}  // namespace
}  // namespace switchyard::http
