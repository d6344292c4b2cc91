#include "cli/load_progress.h"

#include <fmt/format.h>

#include "cli/terminal.h"

namespace switchyard::cli {

std::string progress_line(const Json& event) {
  if (!event.is_object()) return {};
  const std::string type = event.value("type", ""), model = event.value("model", "");
  if (type == "load_progress") {
    const std::string stage = event.value("stage", "");
    const char* const what = stage == "warmup"         ? "warming up"
                             : stage == "mmproj_model" ? "loading the projector of"
                             : stage == "spec_model"   ? "loading the draft of"
                                                       : "loading";
    return fmt::format("{} {} {}", what, model, format_bar(event.value("progress", 0.0)));
  }
  if (type != "state") return {};
  const std::string to = event.value("to", "");
  if (to == "loading" || to == "warming" || to == "draining" || to == "unloading") {
    return fmt::format("{} is {}", model, to);
  }
  return {};
}

LoadProgress::LoadProgress(const ClientOptions& options, const std::string& name) {
  if (!stderr_is_terminal()) return;
  client_ = std::make_unique<Client>(options);
  watcher_ = std::thread([this, name] { watch(name); });
}

LoadProgress::~LoadProgress() {
  over_ = true;
  if (!watcher_.joinable()) return;
  client_->cancel();
  watcher_.join();
}

void LoadProgress::watch(const std::string& name) {
  const Result<Json> model = client_->request("GET", "/admin/v1/models/" + percent_encode(name));
  if (!model || over_) return;
  const std::string id = model->value("model", model->value("id", name));
  StatusLine line;
  // Comes to its end when the destructor cancels it, and then there is nothing to report.
  [[maybe_unused]] const Status ended = client_->stream(
      "GET", "/admin/v1/events?model=" + percent_encode(id), nullptr, [&](const std::string& data) {
        if (const std::string text = progress_line(Json::parse(data, nullptr, false)); !text.empty())
          line.show(text);
        return !over_;
      });
}

}  // namespace switchyard::cli
