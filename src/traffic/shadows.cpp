#include "traffic/shadows.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "telemetry/log.h"
#include "traffic/key_values.h"
#include "traffic/switch_record.h"

namespace switchyard::traffic {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::string_view kRunning = "running";
constexpr std::string_view kStopped = "stopped";
/// Bytes that are kept of each text of a pair.
constexpr std::size_t kMostOfAText = 16 << 10;

std::int64_t to_ms(system_clock::time_point time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}
std::int64_t now_ms() { return to_ms(system_clock::now()); }
system_clock::time_point to_time(std::int64_t ms) { return system_clock::time_point(milliseconds(ms)); }

/// Cut between characters.
std::string cut(const std::string& text) {
  if (text.size() <= kMostOfAText) return text;
  std::size_t end = kMostOfAText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end);
}

/// What a definition says, to be compared with what it said.
std::string described(const ShadowDefinition& definition) {
  return definition.to.to_string() + "\n" + to_text(definition.plan);
}

}  // namespace

Shadows::Shadows(Dependencies dependencies) : dependencies_(dependencies), store_(dependencies.state) {
  load();
}

Shadows::~Shadows() { write(); }

void Shadows::load() {
  const auto rows = store_.shadows();
  if (!rows) {
    telemetry::log_error("traffic", "the shadows cannot be read: {}", rows.error().to_string());
    return;
  }
  const MutexLock changing(changing_);
  const MutexLock lock(mutex_);
  for (const store::ShadowRow& row : *rows) {
    Kept kept{.row = row, .shadow = nullptr, .figures = parse_shadow_figures(row.figures)};
    if (row.state == kRunning) {
      kept.shadow = std::make_shared<const Shadow>(Shadow{.alias = row.alias,
                                                          .to = to_ref(row.target),
                                                          .plan = parse_shadow_plan(row.plan),
                                                          .serial = next_serial_++});
    }
    shadows_.emplace(row.alias, std::move(kept));
  }
}

ShadowStatus Shadows::status_of(const Kept& kept) {
  return {.alias = kept.row.alias,
          .to = to_ref(kept.row.target),
          .plan = parse_shadow_plan(kept.row.plan),
          .running = kept.shadow != nullptr,
          .who = kept.row.who,
          .started = to_time(kept.row.started),
          .ended = to_time(kept.row.ended),
          .figures = kept.figures};
}

store::ShadowRow Shadows::row_of(const Kept& kept) {
  store::ShadowRow row = kept.row;
  row.figures = to_text(kept.figures);
  return row;
}

Result<std::string> Shadows::known(const std::string& alias) const {
  const auto status = dependencies_.switcher.describe(alias);
  if (!status) return std::unexpected(status.error());
  return status->alias.name;
}

Result<ShadowStatus> Shadows::set(const Request& request) {
  const auto name = known(request.alias);
  if (!name) return std::unexpected(name.error());
  const MutexLock changing(changing_);
  std::string defined;
  {
    const MutexLock lock(mutex_);
    if (const auto found = shadows_.find(*name); found != shadows_.end()) defined = found->second.row.defined;
  }
  return begin(request, defined);
}

Result<ShadowStatus> Shadows::begin(const Request& request, const std::string& defined) {
  if (const Status checked = check_plan(request.plan); !checked) return std::unexpected(checked.error());
  const auto alias = dependencies_.switcher.describe(request.alias);
  if (!alias) return std::unexpected(alias.error());
  const auto to = dependencies_.switcher.resolve(request.to);
  if (!to) return std::unexpected(to.error());
  const std::string& name = alias->alias.name;
  if (alias->alias.split.empty() && alias->alias.to == *to) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' means '{}' already: a shadow compares it with another version", name,
                            to->to_string()));
  }
  const std::string& embedder = request.plan.similarity_model;
  if (!embedder.empty()) {
    if (const auto found = dependencies_.switcher.resolve(embedder); !found)
      return fail(ErrorCode::kNotFound, "'similarity_model': " + found.error().message);
  }
  {
    const MutexLock lock(mutex_);
    const auto found = shadows_.find(name);
    const bool is_the_same = found != shadows_.end() && found->second.shadow != nullptr &&
                             found->second.shadow->to == *to && found->second.shadow->plan == request.plan &&
                             found->second.row.defined == defined;
    if (is_the_same) return status_of(found->second);
  }
  Kept kept{.row = {.alias = name,
                    .target = to->to_string(),
                    .plan = to_text(request.plan),
                    .figures = {},
                    .state = std::string(kRunning),
                    .who = request.who,
                    .defined = defined,
                    .started = now_ms()},
            .shadow = std::make_shared<const Shadow>(
                Shadow{.alias = name, .to = *to, .plan = request.plan, .serial = next_serial_++}),
            .figures = {}};
  if (const Status written = store_.put_without_pairs(row_of(kept)); !written)
    return std::unexpected(written.error());
  ShadowStatus status = status_of(kept);
  {
    const MutexLock lock(mutex_);
    shadows_.insert_or_assign(name, std::move(kept));
  }
  tell(status, "start", request.who);
  return status;
}

Result<ShadowStatus> Shadows::stop(const std::string& alias, const std::string& who) {
  const auto name = known(alias);
  if (!name) return std::unexpected(name.error());
  const MutexLock changing(changing_);
  return end(*name, who);
}

void Shadows::alias_removed(const std::string& alias, const std::string& who) {
  const MutexLock changing(changing_);
  const auto ended = end(alias, who);
  const bool failed = !ended && ended.error().code != ErrorCode::kNotFound &&
                      ended.error().code != ErrorCode::kConflict;  // it had none
  if (failed)
    telemetry::log_error("traffic", "the end of the shadow of '{}' is not kept: {}", alias,
                         ended.error().to_string());
}

Result<ShadowStatus> Shadows::end(const std::string& alias, const std::string& who) {
  Kept kept;
  {
    const MutexLock lock(mutex_);
    const auto found = shadows_.find(alias);
    if (found == shadows_.end()) return fail(ErrorCode::kNotFound, "'" + alias + "' has no shadow");
    if (found->second.shadow == nullptr)
      return fail(ErrorCode::kConflict, "the shadow of '" + alias + "' has been stopped already");
    found->second.shadow = nullptr;  // from here on nothing is copied, whatever the database says
    found->second.row.state = kStopped;
    found->second.row.ended = now_ms();
    found->second.unwritten = true;
    kept = found->second;
  }
  if (const Status written = store_.put_without_pairs(row_of(kept)); !written)
    return std::unexpected(written.error());
  ShadowStatus status = status_of(kept);
  tell(status, "stop", who);
  return status;
}

void Shadows::define(const std::vector<ShadowDefinition>& definitions) {
  const MutexLock changing(changing_);
  std::vector<std::string> ended;
  std::map<std::string, std::string> known_lines;
  {
    const MutexLock lock(mutex_);
    for (auto& [alias, kept] : shadows_) {
      if (kept.row.defined.empty()) continue;
      known_lines[alias] = kept.row.defined;
      const bool is_there =
          std::ranges::find(definitions, alias, &ShadowDefinition::alias) != definitions.end();
      if (is_there) continue;
      kept.row.defined.clear();
      kept.unwritten = true;
      if (kept.shadow != nullptr) ended.push_back(alias);
    }
  }
  const auto complain = [](const std::string& alias, const Error& error) {
    telemetry::log_error("traffic", "the shadow of '{}': {}", alias, error.to_string());
  };
  for (const std::string& alias : ended) {
    if (const auto done = end(alias, "config"); !done) complain(alias, done.error());
  }
  for (const ShadowDefinition& definition : definitions) {
    const std::string line = described(definition);
    if (const auto was = known_lines.find(definition.alias); was != known_lines.end() && was->second == line)
      continue;
    const auto begun = begin({.alias = definition.alias,
                              .to = definition.to.to_string(),
                              .plan = definition.plan,
                              .who = "config"},
                             line);
    if (!begun) complain(definition.alias, begun.error());
  }
}

ShadowPtr Shadows::of(std::string_view alias) const {
  const MutexLock lock(mutex_);
  const auto found = shadows_.find(alias);
  return found == shadows_.end() ? nullptr : found->second.shadow;
}

void Shadows::change(const Shadow& shadow, const Change& change) {
  const MutexLock lock(mutex_);
  const auto found = shadows_.find(shadow.alias);
  if (found == shadows_.end() || found->second.shadow.get() != &shadow) return;
  change(found->second.figures);
  found->second.unwritten = true;
}

void Shadows::note(const Shadow& shadow, const ShadowComparison& comparison) {
  change(shadow, [&](ShadowFigures& figures) { figures.add(comparison); });
}
void Shadows::note_failed(const Shadow& shadow, std::string_view reason) {
  change(shadow, [&](ShadowFigures& figures) { ++figures.failed[std::string(reason)]; });
}
void Shadows::note_dropped(const Shadow& shadow, std::string_view reason) {
  change(shadow, [&](ShadowFigures& figures) { ++figures.dropped[std::string(reason)]; });
}

void Shadows::keep(const Shadow& shadow, const ShadowPair& pair) {
  if (!shadow.plan.keep_replies) return;
  const MutexLock changing(changing_);  // one that is being stopped must not leave a pair behind
  if (!is_running(shadow)) return;
  const Status kept =
      store_.keep(shadow.alias, {.at = to_ms(pair.at),
                                 .request_id = pair.request_id,
                                 .version = pair.version.to_string(),
                                 .prompt = cut(pair.prompt),
                                 .reply = cut(pair.reply),
                                 .copy = cut(pair.copy),
                                 .similarity = pair.similarity ? fmt::format("{}", *pair.similarity) : ""});
  if (!kept)
    telemetry::log_error("traffic", "replies of the shadow of '{}' are not kept: {}", shadow.alias,
                         kept.error().to_string());
}

void Shadows::write() {
  const MutexLock changing(changing_);  // what it writes must not come after a newer row
  std::vector<store::ShadowRow> rows;
  {
    const MutexLock lock(mutex_);
    for (auto& [alias, kept] : shadows_) {
      if (!std::exchange(kept.unwritten, false)) continue;
      rows.push_back(row_of(kept));
    }
  }
  if (rows.empty()) return;
  const Status written = store_.put(rows);
  if (written) return;
  telemetry::log_error("traffic", "the figures of shadows are not kept: {}", written.error().to_string());
  const MutexLock lock(mutex_);
  for (const store::ShadowRow& row : rows) {
    if (const auto found = shadows_.find(row.alias); found != shadows_.end()) found->second.unwritten = true;
  }
}

void Shadows::tell(const ShadowStatus& status, std::string_view move, const std::string& who) {
  telemetry::log_info("traffic", "shadow of '{}', {}: {} ({:g} % of the requests), by {}", status.alias,
                      status.to.to_string(), move, status.plan.fraction * 100, who);
  telemetry::Event event;
  event.type = "shadow";
  event.model = status.to.model;
  event.version = status.to.version;
  event.text = {{"alias", status.alias}, {"move", std::string(move)}, {"who", who}};
  event.numbers = {{"fraction", status.plan.fraction}};
  dependencies_.events.publish(std::move(event));
}

std::vector<ShadowStatus> Shadows::list() const {
  std::vector<ShadowStatus> all;
  const MutexLock lock(mutex_);
  for (const auto& [alias, kept] : shadows_) all.push_back(status_of(kept));
  return all;
}

Result<ShadowStatus> Shadows::describe(const std::string& alias) const {
  const auto name = known(alias);
  if (!name) return std::unexpected(name.error());
  const MutexLock lock(mutex_);
  const auto found = shadows_.find(*name);
  if (found == shadows_.end()) return fail(ErrorCode::kNotFound, "'" + *name + "' has had no shadow");
  return status_of(found->second);
}

Result<std::vector<ShadowPair>> Shadows::pairs(const std::string& alias) const {
  const auto status = describe(alias);
  if (!status) return std::unexpected(status.error());
  const auto rows = store_.pairs(status->alias);
  if (!rows) return std::unexpected(rows.error());
  std::vector<ShadowPair> pairs;
  for (const store::ShadowPairRow& row : *rows) {
    pairs.push_back({.at = to_time(row.at),
                     .request_id = row.request_id,
                     .version = to_ref(row.version),
                     .prompt = row.prompt,
                     .reply = row.reply,
                     .copy = row.copy,
                     .similarity = number_of<double>(row.similarity)});
  }
  return pairs;
}

}  // namespace switchyard::traffic
