#include "http/request_line.h"

#include <chrono>
#include <utility>

#include "telemetry/log.h"

namespace switchyard::http {
namespace {

using telemetry::LogFields;
using telemetry::LogLevel;

constexpr std::size_t kLongestPrompt = 16 << 10;

double milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

void add_engine_fields(LogFields& fields, const gateway::RequestRecord& record) {
  if (!record.version.model.empty()) fields.emplace_back("model", record.version.to_string());
  if (record.tokens.prompt) fields.emplace_back("prompt_tokens", *record.tokens.prompt);
  if (record.tokens.generated) fields.emplace_back("generated_tokens", *record.tokens.generated);
  fields.emplace_back("queued_ms", milliseconds(record.queued));
  if (record.first_byte > Duration::zero())
    fields.emplace_back("first_byte_ms", milliseconds(record.first_byte));
  if (record.error) fields.emplace_back("error", std::string(to_string(record.error->code)));
}

}  // namespace

RequestLine::RequestLine(const Request& request, const RequestLog& log)
    : log_(log),
      id_(request_id(request.header("x-request-id"))),
      trace_(begin_span(request.header("traceparent"))),
      method_(request.method),
      path_(request.raw_path),
      remote_(request.remote),
      prompt_(log.prompts ? request.body.substr(0, kLongestPrompt) : std::string()),
      began_(Clock::steady().now()) {}

RequestLine::~RequestLine() {
  if (!log_.requests) return;
  const MutexLock lock(mutex_);
  // The gateway's own are the last word: it knows of a stream that was cut.
  const int status = record_ ? record_->status : status_;
  const bool gone = record_ ? record_->outcome == gateway::Outcome::kClientGone : status_ == 0;
  const bool is_news =
      record_ || status >= 400 || (method_ != "GET" && method_ != "HEAD" && method_ != "OPTIONS");
  const std::string_view outcome = record_         ? to_string(record_->outcome)
                                   : gone          ? to_string(gateway::Outcome::kClientGone)
                                   : status >= 400 ? to_string(gateway::Outcome::kFailed)
                                                   : to_string(gateway::Outcome::kAnswered);
  LogFields fields{{"request_id", id_},
                   {"method", method_},
                   {"path", path_},
                   {"status", static_cast<std::uint64_t>(status)},
                   {"outcome", std::string(outcome)}};
  if (!tenant_.empty()) fields.emplace_back("tenant", tenant_);
  if (record_) add_engine_fields(fields, *record_);
  fields.emplace_back("total_ms", milliseconds(record_ ? record_->total : Clock::steady().now() - began_));
  fields.emplace_back("bytes", record_ ? record_->bytes : bytes_);
  fields.emplace_back("remote", remote_);
  fields.emplace_back("trace_id", trace_.trace_id);
  fields.emplace_back("span_id", trace_.span_id);
  if (!trace_.parent_id.empty()) fields.emplace_back("parent_id", trace_.parent_id);
  if (!prompt_.empty()) fields.emplace_back("prompt", prompt_);
  telemetry::log_record(is_news ? LogLevel::kInfo : LogLevel::kDebug, "request", "", fields);
}

void RequestLine::asked_by(const std::string& tenant) {
  const MutexLock lock(mutex_);
  tenant_ = tenant;
}

void RequestLine::answered(int status, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  status_ = status;
  bytes_ = bytes;
}

void RequestLine::sent(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  bytes_ += bytes;
}

void RequestLine::asked_engine(const gateway::RequestRecord& record) {
  const MutexLock lock(mutex_);
  record_ = record;
}

}  // namespace switchyard::http
