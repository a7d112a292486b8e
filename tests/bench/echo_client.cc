#include "tests/bench/echo_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"
#include "common/os/pipe.h"
#include "common/os/spawn.h"
#include "prefork/v1/task_service.grpc.pb.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/row.h"

namespace prefork::bench {
namespace {

// What a completion is of; gRPC gives the address back.
enum Operation : int { kBroken, kStart, kWrite, kRead, kFinish };
void* Tag(Operation operation) {
  static std::array<Operation, 5> operations = {kBroken, kStart, kWrite, kRead, kFinish};
  return &operations[operation];
}

// A batch of submits, made item by item as every client has to.
void Fill(uint64_t first_tag, uint64_t items, v1::SessionRequest* request) {
  v1::SubmitBatch* batch = request->mutable_submit();
  batch->mutable_defaults()->set_pool(kPool);
  batch->mutable_defaults()->set_function(kNoop);
  batch->clear_items();
  for (uint64_t tag = first_tag; tag < first_tag + items; ++tag) {
    v1::SubmitItem* item = batch->add_items();
    item->set_tag(tag);
    item->set_payload(&tag, sizeof(tag));
  }
}

// The successes in a response; each is looked at.
uint64_t CountSuccesses(const v1::SessionResponse& response) {
  uint64_t successes = 0;
  for (const v1::TaskEvent& event : response.events().events()) {
    if (event.finished().state() == v1::TASK_STATE_SUCCEEDED) ++successes;
  }
  return successes;
}

}  // namespace

// One session, driven by the calling thread.
struct EchoPeer::Stream {
  ~Stream() {
    context.TryCancel();
    grpc::Status status;
    call->Finish(&status, Tag(kFinish));
    queue.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
    }
  }
  // What has completed next; kBroken when the stream has broken.
  Operation Next() {
    void* tag = nullptr;
    bool ok = false;
    if (!queue.Next(&tag, &ok) || !ok) return kBroken;
    return *static_cast<Operation*>(tag);
  }

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::TaskService::Stub> stub;
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::SessionRequest, v1::SessionResponse>> call;
};

absl::StatusOr<std::unique_ptr<EchoPeer>> EchoPeer::Start() {
  std::unique_ptr<EchoPeer> peer(new EchoPeer());
  peer->directory_ = "/tmp/prefork-echo-XXXXXX";
  if (mkdtemp(peer->directory_.data()) == nullptr) return os::ErrnoStatus(errno, "mkdtemp");
  absl::StatusOr<os::Pipe> in = os::CreatePipe();
  absl::StatusOr<os::Pipe> out = os::CreatePipe();
  if (!in.ok() || !out.ok()) return in.ok() ? out.status() : in.status();
  os::SpawnOptions spawn;
  spawn.argv = {std::filesystem::read_symlink("/proc/self/exe"), "--echo-server",
                peer->directory_ + "/e.sock"};
  spawn.env = os::CurrentEnvironment();
  spawn.fds = {{STDIN_FILENO, in->read_end.get()},
               {STDOUT_FILENO, out->write_end.get()},
               {STDERR_FILENO, STDERR_FILENO}};
  absl::StatusOr<os::Pidfd> server = os::Spawn(spawn);
  if (!server.ok()) return server.status();
  peer->server_ = *std::move(server);
  peer->server_stdin_ = std::move(in->write_end);
  out->write_end.Reset();
  char byte = 0;
  if (read(out->read_end.get(), &byte, 1) != 1) {
    return absl::InternalError("the echo server ended before it was ready");
  }
  return peer;
}

EchoPeer::~EchoPeer() {
  server_stdin_.Reset();
  if (server_.valid()) server_.Reap(/*wait=*/true).IgnoreError();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

absl::StatusOr<std::unique_ptr<EchoPeer::Stream>> EchoPeer::Open() {
  auto stream = std::make_unique<Stream>();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  stream->channel = grpc::CreateCustomChannel(absl::StrCat("unix:", directory_, "/e.sock"),
                                              grpc::InsecureChannelCredentials(), arguments);
  stream->stub = v1::TaskService::NewStub(stream->channel);
  stream->call = stream->stub->AsyncSession(&stream->context, &stream->queue, Tag(kStart));
  if (stream->Next() != kStart) return absl::UnavailableError("the echo server does not answer");
  return stream;
}

absl::StatusOr<double> EchoPeer::Throughput(uint64_t tasks, uint64_t batch, uint64_t in_flight) {
  absl::StatusOr<std::unique_ptr<Stream>> opened = Open();
  if (!opened.ok()) return opened.status();
  Stream& stream = **opened;
  v1::SessionRequest request;
  v1::SessionResponse response;
  uint64_t sent = 0;
  uint64_t answered = 0;
  bool writing = false;
  const double start = NowNs();
  stream.call->Read(&response, Tag(kRead));
  while (answered < tasks) {
    if (!writing && sent < tasks && sent - answered + batch <= std::max(in_flight, batch)) {
      Fill(sent, batch, &request);
      stream.call->Write(request, Tag(kWrite));
      sent += batch;
      writing = true;
    }
    const Operation completed = stream.Next();
    if (completed == kBroken) return absl::UnavailableError("the echo stream has broken");
    if (completed == kWrite) writing = false;
    if (completed != kRead) continue;
    answered += CountSuccesses(response);
    if (answered < tasks) stream.call->Read(&response, Tag(kRead));
  }
  return static_cast<double>(answered) * 1e9 / (NowNs() - start);
}

absl::StatusOr<std::vector<double>> EchoPeer::RoundTripsNs(uint64_t count) {
  absl::StatusOr<std::unique_ptr<Stream>> opened = Open();
  if (!opened.ok()) return opened.status();
  Stream& stream = **opened;
  v1::SessionRequest request;
  v1::SessionResponse response;
  std::vector<double> times;
  times.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const double start = NowNs();
    Fill(i, 1, &request);
    stream.call->Read(&response, Tag(kRead));
    stream.call->Write(request, Tag(kWrite));
    // Both in any order.
    if (stream.Next() == kBroken || stream.Next() == kBroken) {
      return absl::UnavailableError("the echo stream has broken");
    }
    times.push_back(NowNs() - start);
  }
  return times;
}

}  // namespace prefork::bench
