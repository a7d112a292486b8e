#include "server/engine/request_ids.h"

#include <tuple>

#include "absl/strings/str_cat.h"
#include "server/engine/errors.h"

namespace prefork::engine {
namespace {

auto Fields(const CommandSpec& command) {
  return std::tie(command.argv, command.env, command.cwd, command.limits);
}

auto Fields(const scheduler::RetryPolicy& retry) {
  return std::tie(retry.max_attempts, retry.on, retry.backoff_ns, retry.backoff_multiplier,
                  retry.max_backoff_ns);
}

// All but `command` and `retry`.
auto Fields(const TaskOptions& options) {
  return std::tie(options.pool, options.function, options.content_type, options.priority,
                  options.delay, options.not_before, options.timeout, options.grace,
                  options.queue_timeout, options.after, options.labels, options.result_ttl,
                  options.dedicated, options.detached);
}

// Of a payload that was given back only the size is known.
bool SamePayload(const Bytes& first, const Bytes& second) {
  if (first.given_back()) return first.size() == second.size();
  return first.view() == second.view();
}

}  // namespace

bool SameOptions(const TaskOptions& a, const TaskOptions& b) {
  if (&a == &b) return true;
  if (a.command.has_value() != b.command.has_value()) return false;
  if (a.command && Fields(*a.command) != Fields(*b.command)) return false;
  return Fields(a.retry) == Fields(b.retry) && Fields(a) == Fields(b);
}

absl::StatusOr<TaskSlot> RequestIds::Find(uint32_t uid, const TaskSubmission& submission) const {
  const auto it = slots_.find(std::make_pair(uid, submission.request_id));
  if (it == slots_.end()) return kNone;
  const TaskRecord& first = tasks_->at(it->second);
  if (SameOptions(*first.options, *submission.options) &&
      SamePayload(first.payload, submission.payload)) {
    return it->second;
  }
  return MakeError(
      absl::StatusCode::kAlreadyExists, reason::kRequestIdReused,
      absl::StrCat("request ID \"", submission.request_id, "\" already stands for task ", first.id,
                   ", which asks for other work. Use a new request ID"),
      submission.request_id);
}

void RequestIds::Add(uint32_t uid, const std::string& request_id, TaskSlot slot) {
  slots_.insert_or_assign(std::make_pair(uid, request_id), slot);
}

void RequestIds::Remove(uint32_t uid, const std::string& request_id) {
  slots_.erase(std::make_pair(uid, request_id));
}

}  // namespace prefork::engine
