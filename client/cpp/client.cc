#include "prefork/client.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "client/cpp/api_impl.h"
#include "client/cpp/batch.h"
#include "client/cpp/channel.h"
#include "client/cpp/convert.h"
#include "client/cpp/session.h"
#include "prefork/api.h"

extern "C" char* program_invocation_short_name;  // NOLINT(readability-identifier-naming): glibc's

namespace prefork::client {
namespace {

using internal::Session;

absl::Status CheckWork(const TaskSpec& spec) {
  if (spec.function.empty() == !spec.command.has_value()) {
    return absl::InvalidArgumentError(
        "a task needs exactly one of `function` and `command` in its TaskSpec");
  }
  return absl::OkStatus();
}

// What tasks of this spec share: all but the payload and the request ID.
std::shared_ptr<const EncodedSpec> Encode(const TaskSpec& spec) {
  auto encoded = std::make_shared<EncodedSpec>();
  encoded->bytes = SharedToProto(spec).SerializeAsString();
  encoded->detached = spec.detached;
  return encoded;
}

}  // namespace

struct Client::Impl {
  std::shared_ptr<Session> session;
  std::unique_ptr<Api> api;
  std::string version;

  ~Impl() {
    if (session != nullptr) session->Close();
  }

  absl::StatusOr<TaskHandle> Submit(const TaskSpec& spec, SubmitOptions&& options, bool wait) {
    const absl::Status work = CheckWork(spec);
    if (!work.ok()) return work;
    return session->Submit(Encode(spec), spec.payload, spec.payload_segment, spec.request_id,
                           std::move(options), wait);
  }
};

struct Client::Template::Impl {
  std::shared_ptr<Session> session;
  std::shared_ptr<const EncodedSpec> spec;
};

absl::StatusOr<Client> Client::Connect(ConnectOptions options) {
  const absl::Time deadline = absl::Now() + options.connect_timeout;
  absl::StatusOr<Connection> connection = OpenChannel(options, deadline);
  if (!connection.ok()) return connection.status();
  if (options.client_name.empty()) options.client_name = program_invocation_short_name;
  options.address = connection->address;
  auto impl = std::make_unique<Impl>();
  impl->api = MakeApi(*connection, options);
  impl->session = std::make_shared<Session>(connection->channel, options);
  const absl::Status opened = impl->session->Open(deadline);
  if (!opened.ok()) return opened;
  impl->version = impl->session->daemon_version();
  return Client(std::move(impl));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

absl::StatusOr<TaskHandle> Client::Submit(const TaskSpec& spec, SubmitOptions options) {
  return impl_->Submit(spec, std::move(options), /*wait=*/true);
}

absl::StatusOr<TaskHandle> Client::TrySubmit(const TaskSpec& spec, SubmitOptions options) {
  return impl_->Submit(spec, std::move(options), /*wait=*/false);
}

absl::StatusOr<Client::Template> Client::Prepare(const TaskSpec& spec) {
  const absl::Status work = CheckWork(spec);
  if (!work.ok()) return work;
  if (!spec.payload.empty() || !spec.request_id.empty() ||
      spec.payload_segment.segment != nullptr) {
    return absl::InvalidArgumentError(
        "a template's `payload` and `request_id` must be empty: they belong to each task");
  }
  return Template(std::make_unique<Template::Impl>(Template::Impl{impl_->session, Encode(spec)}));
}

Client::Template::Template(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Template::Template(Template&&) noexcept = default;
Client::Template& Client::Template::operator=(Template&&) noexcept = default;
Client::Template::~Template() = default;

absl::StatusOr<TaskHandle> Client::Template::Submit(std::string_view payload,
                                                    SubmitOptions options) const {
  return impl_->session->Submit(impl_->spec, payload, {}, {}, std::move(options), /*wait=*/true);
}

absl::StatusOr<TaskHandle> Client::Template::TrySubmit(std::string_view payload,
                                                       SubmitOptions options) const {
  return impl_->session->Submit(impl_->spec, payload, {}, {}, std::move(options), /*wait=*/false);
}

absl::StatusOr<TaskHandle> Client::Template::Submit(const SegmentSlice& payload,
                                                    SubmitOptions options) const {
  return impl_->session->Submit(impl_->spec, {}, payload, {}, std::move(options), /*wait=*/true);
}

absl::StatusOr<TaskHandle> Client::Template::TrySubmit(const SegmentSlice& payload,
                                                       SubmitOptions options) const {
  return impl_->session->Submit(impl_->spec, {}, payload, {}, std::move(options), /*wait=*/false);
}

absl::StatusOr<std::shared_ptr<Segment>> Client::AllocateSegment(size_t size_bytes) {
  return impl_->session->AllocateSegment(size_bytes);
}

bool Client::Reaches(const Segment& segment) { return impl_->session->Reaches(segment); }

absl::Status Client::WaitAll(absl::Duration timeout) {
  return impl_->session->WaitAll(absl::Now() + timeout);
}

absl::StatusOr<std::string> Client::ReadValue(uint64_t task_id) {
  return impl_->api->ReadValue(task_id);
}

Api& Client::api() { return *impl_->api; }
const std::string& Client::address() const { return impl_->api->address(); }
const std::string& Client::daemon_version() const { return impl_->version; }

}  // namespace prefork::client
