#include "client/cli/context.h"

#include <charconv>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/text/nearest.h"

namespace prefork::cli {
namespace {

// A daemon counts from a first ID far above this; a smaller number is a short one.
constexpr uint64_t kSmallestFullId = 1'000'000'000;

}  // namespace

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kUnavailable:
      return kExitUnreachable;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kDeadlineExceeded:
      return kExitTimedOut;
    default:
      return kExitFailure;
  }
}

client::ConnectOptions Context::MakeConnectOptions(Start start) const {
  client::ConnectOptions connect;
  connect.address = options_.address;
  connect.autostart = start == Start::kMay && !options_.no_autostart;
  connect.client_name = "prefork";
  if (options_.timeout) connect.connect_timeout = *options_.timeout;
  return connect;
}

absl::StatusOr<client::Api*> Context::Connect(Start start) {
  if (session_) return &session_->api();
  if (api_ == nullptr) {
    auto api = client::Api::Connect(MakeConnectOptions(start));
    if (!api.ok()) return api.status();
    api_ = *std::move(api);
    if (options_.timeout) api_->set_call_timeout(*options_.timeout);
  }
  return api_.get();
}

absl::StatusOr<client::Client*> Context::ConnectSession(client::EventOptions events,
                                                        size_t max_in_flight) {
  client::ConnectOptions connect = MakeConnectOptions(Start::kMay);
  connect.events = events;
  connect.max_in_flight = max_in_flight;
  auto connected = client::Client::Connect(std::move(connect));
  if (!connected.ok()) return connected.status();
  session_ = *std::move(connected);
  if (options_.timeout) session_->api().set_call_timeout(*options_.timeout);
  return &*session_;
}

absl::StatusOr<uint64_t> Context::FirstTaskId() {
  if (!first_task_id_) {
    const auto api = Connect();
    if (!api.ok()) return api.status();
    const auto status = (*api)->GetStatus();
    if (!status.ok()) return status.status();
    first_task_id_ = status->first_task_id();
  }
  return *first_task_id_;
}

absl::StatusOr<uint64_t> Context::ResolveTask(const std::string& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a task ID; give the number that `prefork list` shows"));
  }
  if (number >= kSmallestFullId) return number;
  const auto first = FirstTaskId();
  if (!first.ok()) return first.status();
  return *first + number - 1;
}

uint64_t Context::ShortNumber(uint64_t task_id) {
  const auto first = FirstTaskId();
  return first.ok() && task_id >= *first ? task_id - *first + 1 : task_id;
}

absl::Status Context::ExplainTask(const absl::Status& status, const std::string& text) {
  if (!absl::IsNotFound(status)) return status;
  std::string hint = "; `prefork list --all` shows those that are known";
  v1::ListTasksRequest request;
  request.set_page_size(1);
  request.set_newest_first(true);
  const auto api = Connect();
  if (api.ok()) {
    const auto newest = (*api)->ListTasks(request);
    if (newest.ok() && newest->tasks_size() == 1) {
      absl::StrAppend(&hint, " (the newest is ", ShortNumber(newest->tasks(0).task_id()), ")");
    } else if (newest.ok()) {
      hint = "; the daemon knows no task";
    }
  }
  return absl::NotFoundError(
      absl::StrCat("no task ", text, "; it never was, or its time to live is over", hint));
}

absl::Status Context::ExplainPool(const absl::Status& status, const std::string& name) {
  if (!absl::IsNotFound(status)) return status;
  const auto api = Connect();
  if (!api.ok()) return status;
  const auto pools = (*api)->ListPools();
  if (!pools.ok()) return status;
  std::vector<std::string> names;
  for (const v1::Pool& pool : pools->pools()) names.push_back(pool.spec().name());
  const std::string nearest = text::Nearest(name, names);
  return absl::NotFoundError(absl::StrCat("no pool '", name, "'",
                                          nearest.empty()
                                              ? "; `prefork pools` shows those that there are"
                                              : absl::StrCat("; did you mean '", nearest, "'?")));
}

void Context::Talk(const std::string& line) const {
  if (!options_.quiet) std::cerr << line << '\n';
}

}  // namespace prefork::cli
