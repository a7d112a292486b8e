// prefork._client: the C++ client library for Python. Private to the package, which documents what
// users see; the types are in _client.pyi.
//
// Submitting holds the GIL unless it has to wait: the library's mutex is never held by a thread that
// wants the GIL, and giving the GIL away for a microsecond makes two threads hand it to and fro.
//
// A process that forked has the memory of the connection but none of its threads, so nothing of it
// can be used or destroyed there: `abandon` leaves it as it is.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/python/native/borrowed_bytes.h"
#include "client/python/native/client_calls.h"
#include "client/python/native/client_convert.h"
#include "client/python/native/client_errors.h"
#include "client/python/native/client_grpc.h"
#include "client/python/native/client_inbox.h"
#include "client/python/native/client_segment.h"
#include "client/python/native/client_value.h"
#include "client/python/native/released_gil.h"
#include "common/os/cpu_quota.h"
#include "prefork/api.h"
#include "prefork/client.h"

namespace prefork::python {
namespace {

namespace nb = nanobind;

using client::Client;

// Copying a payload of so many bytes is worth giving the GIL away for.
constexpr size_t kLargePayloadBytes = size_t{64} << 10;
// Python takes at most so many items with one acquisition of the GIL, so that other threads run.
constexpr size_t kMaxTakenItems = 2000;

// A thread that waits without the GIL looks so often whether a signal has come for Python.
constexpr absl::Duration kSignalPeriod = absl::Milliseconds(100);

absl::Duration Timeout(nb::handle seconds) {
  if (seconds.is_none()) return absl::InfiniteDuration();
  return absl::Seconds(nb::cast<double>(seconds));
}

// Calls `wait` without the GIL until it is true or the deadline has passed. If `interruptible`,
// raises what Python's handlers of signals raise meanwhile, as KeyboardInterrupt.
template <typename Wait>
void WaitForItems(absl::Time deadline, bool interruptible, const Wait& wait) {
  while (true) {
    {
      const ReleasedGil released;
      const absl::Time until =
          interruptible ? std::min(deadline, absl::Now() + kSignalPeriod) : deadline;
      if (wait(until) || absl::Now() >= deadline) return;
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }
}

// A spec that many tasks share, for as long as the connection is open: it would keep gRPC alive.
struct Template {
  std::shared_ptr<Client::Template> prepared;  // guarded by the GIL
};

// A client, and what its callbacks write into or what depends on it.
struct Peer {
  explicit Peer(Client&& connected) : client(std::move(connected)) {}
  // Guarded by the GIL.
  std::vector<std::shared_ptr<Inbox>> inboxes;
  std::vector<std::shared_ptr<Template>> templates;
  Client client;  // the first to be destroyed: until then callbacks may come
};

// Drops those that nobody else knows, and that `unneeded`.
template <typename T, typename Predicate>
void Sweep(std::vector<std::shared_ptr<T>>& all, const Predicate& unneeded) {
  all.erase(
      std::remove_if(all.begin(), all.end(),
                     [&](const auto& each) { return each.use_count() == 1 && unneeded(*each); }),
      all.end());
}

[[noreturn]] void RaiseClosed() { Raise(absl::CancelledError("the connection is closed")); }

class PyInbox {
 public:
  PyInbox(std::weak_ptr<Peer> peer, std::shared_ptr<Inbox> inbox)
      : peer_(std::move(peer)), inbox_(std::move(inbox)) {}

  void Submit(const std::shared_ptr<Template>& spec, uint64_t key, nb::handle payload) {
    const std::shared_ptr<Client::Template> prepared = spec->prepared;
    if (prepared == nullptr) RaiseClosed();
    absl::Status status = absl::ResourceExhaustedError("");
    if (nb::isinstance<PyPayload>(payload)) {
      const client::SegmentSlice slice = nb::cast<const PyPayload&>(payload).slice;
      {
        const ReleasedGil released;
        status = inbox_->Submit(*prepared, key, slice, /*wait=*/true);
      }
      return RaiseUnlessOk(status);
    }
    const BorrowedBytes borrowed(payload);
    const std::string_view bytes = borrowed.bytes();
    if (bytes.size() < kLargePayloadBytes) {
      status = inbox_->Submit(*prepared, key, bytes, /*wait=*/false);
    }
    if (absl::IsResourceExhausted(status)) {
      const ReleasedGil released;
      status = inbox_->Submit(*prepared, key, bytes, /*wait=*/true);
    }
    RaiseUnlessOk(status);
  }

  void SubmitOne(const nb::dict& fields, uint64_t key, nb::handle payload) {
    client::TaskSpec spec = ToTaskSpec(fields);
    const std::shared_ptr<Peer> peer = peer_.lock();
    if (peer == nullptr) RaiseClosed();
    std::optional<BorrowedBytes> borrowed;
    if (nb::isinstance<PyPayload>(payload)) {
      spec.payload_segment = nb::cast<const PyPayload&>(payload).slice;
    } else {
      borrowed.emplace(payload);
    }
    absl::Status status;
    {
      const ReleasedGil released;
      if (borrowed) spec.payload = borrowed->bytes();
      status = inbox_->Submit(peer->client, spec, key, /*wait=*/true);
    }
    RaiseUnlessOk(status);
  }

  nb::list Take(nb::handle timeout, bool interruptible) {
    const absl::Time deadline = absl::Now() + Timeout(timeout);
    std::vector<Inbox::Item> items;
    WaitForItems(deadline, interruptible, [&](absl::Time until) {
      items = inbox_->Take(kMaxTakenItems, until);
      return !items.empty() || inbox_->closed();
    });
    nb::list out;
    for (Inbox::Item& item : items) out.append(ToPython(std::move(item)));
    return out;
  }

  void WaitAll(nb::handle timeout) {
    WaitForItems(absl::Now() + Timeout(timeout), /*interruptible=*/true,
                 [&](absl::Time until) { return inbox_->WaitAll(until); });
  }

  uint64_t TaskId(uint64_t key, nb::handle timeout) {
    const absl::Duration limit = Timeout(timeout);
    std::optional<absl::StatusOr<uint64_t>> id;
    {
      const ReleasedGil released;
      id = inbox_->TaskId(key, limit);
    }
    return ValueOrRaise(*std::move(id));
  }

  void Cancel(uint64_t key, bool force) { inbox_->Cancel(key, force); }
  void CancelAll(bool force) { inbox_->CancelAll(force); }
  void Close() { inbox_->Close(); }

 private:
  const std::weak_ptr<Peer> peer_;
  const std::shared_ptr<Inbox> inbox_;
};

class Connection {
 public:
  Connection(const std::string& address, bool autostart, const std::string& daemon_directory,
             bool output, size_t max_in_flight, double connect_timeout) {
    const GrpcUse grpc;  // until the client keeps it running itself
    std::optional<absl::StatusOr<Client>> client;
    {
      const ReleasedGil released;
      client = Client::Connect({.address = address,
                                .autostart = autostart,
                                .daemon_directory = daemon_directory,
                                .connect_timeout = absl::Seconds(connect_timeout),
                                .events = {.output = output, .progress = true},
                                .max_in_flight = max_in_flight,
                                .map_values = true});
    }
    peer_ = std::make_shared<Peer>(ValueOrRaise(*std::move(client)));
  }

  ~Connection() { Close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  PyInbox MakeInbox() {
    const std::shared_ptr<Peer> peer = Open();
    // Those of finished maps: nobody can submit with them, and nothing can arrive any more.
    Sweep(peer->inboxes, [](Inbox& inbox) { return inbox.unfinished() == 0; });
    peer->inboxes.push_back(std::make_shared<Inbox>());
    return {peer, peer->inboxes.back()};
  }

  std::shared_ptr<Template> Prepare(const nb::dict& fields) {
    const std::shared_ptr<Peer> peer = Open();
    Sweep(peer->templates, [](const Template&) { return true; });
    peer->templates.push_back(
        std::make_shared<Template>(Template{std::make_shared<Client::Template>(
            ValueOrRaise(peer->client.Prepare(ToTaskSpec(fields))))}));
    return peer->templates.back();
  }

  std::string Call(const std::string& method, const std::string& request) {
    const std::shared_ptr<Peer> peer = Open();
    std::optional<absl::StatusOr<std::string>> response;
    {
      const ReleasedGil released;
      response = python::Call(peer->client.api(), method, request);
    }
    return ValueOrRaise(*std::move(response));
  }

  PySegment Allocate(size_t size_bytes) {
    const std::shared_ptr<Peer> peer = Open();
    return AllocateSegment(peer->client, size_bytes);
  }
  std::optional<PySegment> Gather(const nb::sequence& parts) {
    const std::shared_ptr<Peer> peer = Open();
    return GatherInSegment(peer->client, parts);
  }
  bool Reaches(const PySegment& segment) { return Open()->client.Reaches(*segment.segment); }

  // Ends the connection; the daemon cancels what is unfinished.
  void Close() {
    std::shared_ptr<Peer> ended = std::exchange(peer_, nullptr);
    if (ended == nullptr) return;
    for (const std::shared_ptr<Template>& each : ended->templates) each->prepared.reset();
    const ReleasedGil released;
    ended.reset();
  }

  // In a child process: leaks the connection, since its threads are not here to end it.
  void Abandon() { new std::shared_ptr<Peer>(std::exchange(peer_, nullptr)); }

  size_t unfinished() const {
    size_t sum = 0;
    if (peer_ == nullptr) return sum;
    for (const std::shared_ptr<Inbox>& inbox : peer_->inboxes) sum += inbox->unfinished();
    return sum;
  }
  std::string address() { return Open()->client.address(); }
  std::string daemon_version() { return Open()->client.daemon_version(); }

 private:
  std::shared_ptr<Peer> Open() const {
    if (peer_ == nullptr) RaiseClosed();
    return peer_;
  }

  std::shared_ptr<Peer> peer_;  // guarded by the GIL; nothing once closed
};

NB_MODULE(_client, module) {
  nb::set_leak_warnings(false);  // at the interpreter's end connections may be left to it
  module.def("grpc_in_use", &GrpcRuns);
  module.def("quiesce", &WaitForGrpcEnd);
  module.def("usable_cpus", [] { return os::UsableCpus(); });
  DefineValue(module);
  DefineSegment(module);
  const nb::class_<Template> template_type(module, "Template");
  nb::class_<PyInbox>(module, "Inbox")
      .def("submit", &PyInbox::Submit)
      .def("submit", &PyInbox::SubmitOne)
      .def("take", &PyInbox::Take, nb::arg("timeout").none(), nb::arg("interruptible") = true)
      .def("wait_all", &PyInbox::WaitAll, nb::arg("timeout").none())
      .def("task_id", &PyInbox::TaskId, nb::arg("key"), nb::arg("timeout").none())
      .def("cancel", &PyInbox::Cancel)
      .def("cancel_all", &PyInbox::CancelAll)
      .def("close", &PyInbox::Close);
  nb::class_<Connection>(module, "Connection")
      .def(nb::init<const std::string&, bool, const std::string&, bool, size_t, double>())
      .def("inbox", &Connection::MakeInbox)
      .def("prepare", &Connection::Prepare)
      .def("call", &Connection::Call)
      .def("allocate", &Connection::Allocate)
      .def("gather", &Connection::Gather)
      .def("reaches", &Connection::Reaches)
      .def("close", &Connection::Close)
      .def("abandon", &Connection::Abandon)
      .def_prop_ro("unfinished", &Connection::unfinished)
      .def_prop_ro("address", &Connection::address)
      .def_prop_ro("daemon_version", &Connection::daemon_version);
}

}  // namespace
}  // namespace prefork::python
