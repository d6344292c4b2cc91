#include "engine/download.h"

#include <cpp-httplib/httplib.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>

namespace switchyard::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;
using testing::Pair;

/// A stand-in for the hub: the two API calls and the files, on a free port.
class Hub {
 public:
  Hub() {
    server_.Get(
        R"(/api/models/(.+)/refs)", [this](const httplib::Request& request, httplib::Response& reply) {
          const std::string repo = request.matches[1];
          authorization = request.get_header_value("Authorization");
          if (repo == "user/private")
            reply.status = 401;
          else if (repo == "user/broken")
            reply.status = 500;
          else if (!files.contains(repo))
            reply.status = 404;
          else
            reply.set_content(R"({"branches":[{"name":"main","targetCommit":")" + commit() + R"("}]})",
                              "application/json");
        });
    server_.Get(
        R"(/api/models/(.+)/tree/.+)", [this](const httplib::Request& request, httplib::Response& reply) {
          std::vector<std::string> list;
          for (const auto& [name, text] : files.at(request.matches[1])) {
            list.push_back(
                fmt::format(R"({{"type":"file","path":"{}","oid":"{:040x}"}})", name, list.size() + 1));
          }
          reply.set_content(fmt::format("[{}]", fmt::join(list, ",")), "application/json");
        });
    server_.Get(
        R"(/(.+)/resolve/[0-9a-f]+/(.+))", [this](const httplib::Request& request, httplib::Response& reply) {
          ++fetched;
          reply.set_content(files.at(request.matches[1]).at(request.matches[2]), "application/octet-stream");
        });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::jthread([this] { server_.listen_after_bind(); });
    server_.wait_until_ready();
  }
  ~Hub() { server_.stop(); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  static std::string commit() { return std::string(40, 'a'); }

  std::map<std::string, std::map<std::string, std::string>> files;
  std::string authorization;
  std::atomic<int> fetched = 0;

 private:
  httplib::Server server_;
  int port_ = 0;
  std::jthread thread_;
};

// llama.cpp reads the cache's place once per process, so all tests share one folder and one hub.
class DownloadTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cache_ = testing::TempDir() + "hub_cache_" + std::to_string(getpid());
    setenv("LLAMA_CACHE", cache_.c_str(), 1);
    hub_ = new Hub;
    setenv("MODEL_ENDPOINT", hub_->url().c_str(), 1);
    unsetenv("HF_TOKEN");
    hub_->files["user/plain"] = {{"plain-Q4_K_M.gguf", std::string(300'000, 'q')},
                                 {"plain-Q8_0.gguf", "eight"}};
    hub_->files["user/vision"] = {{"v-Q4_K_M-00001-of-00002.gguf", "one"},
                                  {"v-Q4_K_M-00002-of-00002.gguf", "two"},
                                  {"mmproj-v-F16.gguf", "eye"}};
    hub_->files["user/empty"] = {{"README.md", "nothing"}};
    hub_->files["user/presets"] = {{"preset.ini", "[a]\n"}};
  }
  static void TearDownTestSuite() {
    delete hub_;
    std::filesystem::remove_all(cache_);
  }
  static std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static inline std::string cache_;
  static inline Hub* hub_ = nullptr;
};

TEST_F(DownloadTest, FetchesListsAndRemoves) {
  EXPECT_EQ(cached_model_args("user/plain").error().code, ErrorCode::kNotFound);
  std::mutex mutex;
  DownloadProgress last;
  const Status done = download_model("user/plain", "", [&](const DownloadProgress& p) {
    const std::scoped_lock lock(mutex);
    last = p;
    return true;
  });
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(last.downloaded, 300'000U);
  EXPECT_EQ(last.total, 300'000U);
  EXPECT_THAT(last.url, HasSubstr("plain-Q4_K_M.gguf"));

  ASSERT_TRUE(download_model("user/plain:Q8_0", "", {}));
  const auto models = cached_models();
  ASSERT_TRUE(models);
  ASSERT_THAT(*models, ElementsAre(Key("user/plain:Q4_K_M"), Key("user/plain:Q8_0")));
  EXPECT_EQ(text_of(models->at("user/plain:Q8_0").at("model")), "eight");

  const int before = hub_->fetched;
  ASSERT_TRUE(download_model("user/plain", "", {}));
  EXPECT_EQ(hub_->fetched, before) << "a cached file is not fetched again";

  EXPECT_TRUE(remove_cached_model("user/plain:Q8_0"));
  EXPECT_EQ(remove_cached_model("user/plain:Q8_0").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(*cached_models(), ElementsAre(Key("user/plain:Q4_K_M")));
  EXPECT_TRUE(remove_cached_model("user/plain"));
  EXPECT_THAT(*cached_models(), ElementsAre());
}

TEST_F(DownloadTest, AllPartsAndTheProjector) {
  const Status done = download_model("user/vision", "", {});
  ASSERT_TRUE(done) << done.error().to_string();
  const auto args = cached_model_args("user/vision");
  ASSERT_TRUE(args) << args.error().to_string();
  EXPECT_EQ(text_of(args->at("model")), "one");
  EXPECT_EQ(text_of(args->at("mmproj")), "eye");
  std::string second = args->at("model");
  second.replace(second.find("00001-of"), 8, "00002-of");
  EXPECT_EQ(text_of(second), "two");
  EXPECT_TRUE(remove_cached_model("user/vision"));
}

TEST_F(DownloadTest, OneNamedFile) {
  ASSERT_TRUE(download_model("user/plain", "", {}, "plain-Q8_0.gguf"));
  EXPECT_EQ(text_of(cached_model_args("user/plain", "plain-Q8_0.gguf")->at("model")), "eight");
  EXPECT_EQ(download_model("user/plain", "", {}, "other.gguf").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(remove_cached_model("user/plain"));
}

TEST_F(DownloadTest, CancelLeavesNothingInTheList) {
  const Status done =
      download_model("user/plain", "", [](const DownloadProgress& p) { return p.downloaded == 0; });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kCancelled);
  EXPECT_THAT(*cached_models(), ElementsAre());
}

TEST_F(DownloadTest, ChecksWithoutFetching) {
  const int before = hub_->fetched;
  const std::string token = "hf_" + std::string(40, 'x');
  EXPECT_TRUE(check_remote_model("user/plain:Q8_0", token));
  EXPECT_EQ(hub_->authorization, "Bearer " + token);
  EXPECT_EQ(check_remote_model("user/plain:Q2_K", "").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(hub_->fetched, before);
}

TEST_F(DownloadTest, ErrorsAreTyped) {
  const std::vector<std::pair<std::string, ErrorCode>> cases = {
      {"user/absent", ErrorCode::kNotFound},
      {"user/private", ErrorCode::kPermissionDenied},
      {"user/broken", ErrorCode::kUnavailable},
      {"user/empty", ErrorCode::kNotFound},
      {"user/presets", ErrorCode::kUnimplemented},
      {"plain", ErrorCode::kInvalidArgument},
      {"", ErrorCode::kInvalidArgument},
      {"../../etc/passwd", ErrorCode::kInvalidArgument},
      {"user/..", ErrorCode::kInvalidArgument},
      {"user/a/b", ErrorCode::kInvalidArgument},
      {"user/x:(a+)+$", ErrorCode::kInvalidArgument},
      {"user/plain:", ErrorCode::kInvalidArgument},
  };
  for (const auto& [name, code] : cases) {
    const Status checked = check_remote_model(name, "");
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, code) << name << ": " << checked.error().to_string();
    const Status fetched = download_model(name, "", {});
    ASSERT_FALSE(fetched) << name;
    EXPECT_EQ(fetched.error().code, code) << name;
  }
  EXPECT_EQ(remove_cached_model("../x").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(DownloadTest, NoHubIsUnavailable) {
  setenv("MODEL_ENDPOINT", "http://127.0.0.1:1", 1);
  const Status checked = check_remote_model("user/plain", "");
  setenv("MODEL_ENDPOINT", hub_->url().c_str(), 1);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(checked.error().message, HasSubstr("http://127.0.0.1:1"));
}

}  // namespace
}  // namespace switchyard::engine
