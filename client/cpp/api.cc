#include "prefork/api.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "client/cpp/api_impl.h"
#include "client/cpp/convert.h"
#include "client/cpp/grpc_status.h"
#include "client/cpp/redial.h"
#include "prefork/v1/pool_service.grpc.pb.h"
#include "prefork/v1/task_service.grpc.pb.h"

namespace prefork::client {
namespace {

constexpr size_t kUploadChunkBytes = size_t{1} << 20;

class ApiImpl final : public Api {
 public:
  ApiImpl(const Connection& connection, const ConnectOptions& options)
      : Api(connection.address),
        options_(options),
        channel_(connection.channel),
        tasks_(v1::TaskService::NewStub(connection.channel)),
        pools_(v1::PoolService::NewStub(connection.channel)),
        workers_(v1::WorkerService::NewStub(connection.channel)),
        functions_(v1::FunctionService::NewStub(connection.channel)),
        daemon_(v1::DaemonService::NewStub(connection.channel)) {}

  absl::StatusOr<v1::SubmitResponse> Submit(const v1::TaskSpec& task) override {
    v1::SubmitRequest request;
    *request.mutable_task() = task;
    return Call<v1::SubmitResponse>(*tasks_, &v1::TaskService::Stub::Submit, request);
  }

  absl::StatusOr<v1::Task> GetTask(uint64_t task_id) override {
    v1::GetTaskRequest request;
    request.set_task_id(task_id);
    return Call<v1::Task>(*tasks_, &v1::TaskService::Stub::Get, request);
  }

  absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& request) override {
    return Call<v1::ListTasksResponse>(*tasks_, &v1::TaskService::Stub::List, request);
  }

  absl::StatusOr<v1::Task> WaitTask(uint64_t task_id, absl::Duration timeout) override {
    v1::WaitTaskRequest request;
    request.set_task_id(task_id);
    if (timeout != absl::InfiniteDuration()) ToProto(timeout, request.mutable_timeout());
    return Call<v1::Task>(*tasks_, &v1::TaskService::Stub::Wait, request);
  }

  absl::StatusOr<v1::Task> CancelTask(uint64_t task_id, bool force) override {
    v1::CancelTaskRequest request;
    request.set_task_id(task_id);
    request.set_force(force);
    auto response = Call<v1::CancelTaskResponse>(*tasks_, &v1::TaskService::Stub::Cancel, request);
    if (!response.ok()) return response.status();
    return std::move(*response->mutable_task());
  }

  absl::Status SignalTask(uint64_t task_id, int signal) override {
    v1::SignalTaskRequest request;
    request.set_task_id(task_id);
    request.set_signal(signal);
    return Call<v1::SignalTaskResponse>(*tasks_, &v1::TaskService::Stub::Signal, request).status();
  }

  absl::StatusOr<uint64_t> RetryTask(uint64_t task_id) override {
    v1::RetryTaskRequest request;
    request.set_task_id(task_id);
    auto response = Call<v1::SubmitResponse>(*tasks_, &v1::TaskService::Stub::Retry, request);
    if (!response.ok()) return response.status();
    return response->task_id();
  }

  absl::StatusOr<uint64_t> DeleteTasks(const v1::DeleteTaskRequest& request) override {
    auto response = Call<v1::DeleteTaskResponse>(*tasks_, &v1::TaskService::Stub::Delete, request);
    if (!response.ok()) return response.status();
    return response->deleted();
  }

  absl::StatusOr<std::string> ReadValue(uint64_t task_id) override {
    v1::ReadValueRequest request;
    request.set_task_id(task_id);
    grpc::ClientContext context;
    SetDeadline(context);
    const auto reader = tasks_->ReadValue(&context, request);
    std::string value;
    for (v1::ValueChunk chunk; reader->Read(&chunk);) value.append(chunk.data());
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return FromGrpc(status, address_);
    return value;
  }

  absl::StatusOr<v1::SubmitResponse> UploadTask(const v1::TaskSpec& task,
                                                const std::string& payload) override {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::SubmitResponse response;
    const auto writer = tasks_->UploadTask(&context, &response);
    v1::UploadTaskRequest part;
    *part.mutable_task() = task;
    part.set_payload_bytes(payload.size());
    bool open = writer->Write(part);
    part.clear_payload_bytes();
    for (size_t sent = 0; open && sent < payload.size(); sent += kUploadChunkBytes) {
      part.set_chunk(payload.substr(sent, kUploadChunkBytes));
      open = writer->Write(part);
    }
    if (open) writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (!status.ok()) return FromGrpc(status, address_);
    return response;
  }

  absl::Status ReadOutput(const v1::ReadOutputRequest& request,
                          const OnOutput& on_output) override {
    grpc::ClientContext context;
    const auto reader = tasks_->ReadOutput(&context, request);
    for (v1::Output output; reader->Read(&output);) {
      if (on_output(output)) continue;
      context.TryCancel();
      return absl::OkStatus();
    }
    return FromGrpc(reader->Finish(), address_);
  }

  absl::Status WatchTasks(v1::WatchTasksRequest request, const OnEvent& on_event) override {
    return Watch(request, on_event, [this](grpc::ClientContext* context, const auto& message) {
      return tasks_->Watch(context, message);
    });
  }
  absl::Status WatchPools(v1::WatchPoolsRequest request, const OnEvent& on_event) override {
    return Watch(request, on_event, [this](grpc::ClientContext* context, const auto& message) {
      return pools_->Watch(context, message);
    });
  }
  absl::Status WatchWorkers(v1::WatchWorkersRequest request, const OnEvent& on_event) override {
    return Watch(request, on_event, [this](grpc::ClientContext* context, const auto& message) {
      return workers_->Watch(context, message);
    });
  }
  absl::Status WatchEvents(v1::WatchEventsRequest request, const OnEvent& on_event) override {
    return Watch(request, on_event, [this](grpc::ClientContext* context, const auto& message) {
      return daemon_->Watch(context, message);
    });
  }

  absl::StatusOr<v1::Pool> CreatePool(const v1::PoolSpec& spec) override {
    v1::CreatePoolRequest request;
    *request.mutable_pool() = spec;
    return Call<v1::Pool>(*pools_, &v1::PoolService::Stub::Create, request);
  }
  absl::StatusOr<v1::Pool> GetPool(const std::string& name) override {
    return PoolCall<v1::GetPoolRequest>(name, &v1::PoolService::Stub::Get);
  }
  absl::StatusOr<v1::ListPoolsResponse> ListPools() override {
    return Call<v1::ListPoolsResponse>(*pools_, &v1::PoolService::Stub::List,
                                       v1::ListPoolsRequest());
  }
  absl::StatusOr<v1::Pool> ScalePool(const std::string& name, uint32_t size) override {
    v1::ScalePoolRequest request;
    request.set_name(name);
    request.set_size(size);
    return Call<v1::Pool>(*pools_, &v1::PoolService::Stub::Scale, request);
  }
  absl::StatusOr<v1::Pool> PausePool(const std::string& name) override {
    return PoolCall<v1::PausePoolRequest>(name, &v1::PoolService::Stub::Pause);
  }
  absl::StatusOr<v1::Pool> ResumePool(const std::string& name) override {
    return PoolCall<v1::ResumePoolRequest>(name, &v1::PoolService::Stub::Resume);
  }
  absl::StatusOr<v1::Pool> DrainPool(const std::string& name) override {
    return PoolCall<v1::DrainPoolRequest>(name, &v1::PoolService::Stub::Drain);
  }
  absl::StatusOr<v1::Pool> ReloadPool(const std::string& name) override {
    return PoolCall<v1::ReloadPoolRequest>(name, &v1::PoolService::Stub::Reload);
  }
  absl::Status DeletePool(const std::string& name, bool force) override {
    v1::DeletePoolRequest request;
    request.set_name(name);
    request.set_force(force);
    return Call<v1::DeletePoolResponse>(*pools_, &v1::PoolService::Stub::Delete, request).status();
  }

  absl::StatusOr<v1::ListWorkersResponse> ListWorkers(const std::string& pool) override {
    v1::ListWorkersRequest request;
    request.set_pool(pool);
    return Call<v1::ListWorkersResponse>(*workers_, &v1::WorkerService::Stub::List, request);
  }
  absl::StatusOr<v1::Worker> SignalWorker(const v1::SignalWorkerRequest& request) override {
    auto response =
        Call<v1::SignalWorkerResponse>(*workers_, &v1::WorkerService::Stub::Signal, request);
    if (!response.ok()) return response.status();
    return std::move(*response->mutable_worker());
  }
  absl::StatusOr<v1::ListFunctionsResponse> ListFunctions(const std::string& pool) override {
    v1::ListFunctionsRequest request;
    request.set_pool(pool);
    return Call<v1::ListFunctionsResponse>(*functions_, &v1::FunctionService::Stub::List, request);
  }

  absl::StatusOr<v1::DaemonStatus> GetStatus() override {
    return Call<v1::DaemonStatus>(*daemon_, &v1::DaemonService::Stub::GetStatus,
                                  v1::GetStatusRequest());
  }
  absl::Status Shutdown(const v1::ShutdownRequest& request) override {
    return Call<v1::ShutdownResponse>(*daemon_, &v1::DaemonService::Stub::Shutdown, request)
        .status();
  }

 private:
  void SetDeadline(grpc::ClientContext& context) const {
    if (call_timeout_ == absl::InfiniteDuration()) return;
    context.set_deadline(absl::ToChronoTime(absl::Now() + call_timeout_));
  }

  template <typename Response, typename Stub, typename Request>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) const {
    grpc::ClientContext context;
    SetDeadline(context);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status, address_);
    return response;
  }

  template <typename Request>
  absl::StatusOr<v1::Pool> PoolCall(const std::string& name,
                                    grpc::Status (v1::PoolService::Stub::*method)(
                                        grpc::ClientContext*, const Request&, v1::Pool*)) const {
    Request request;
    request.set_name(name);
    return Call<v1::Pool>(*pools_, method, request);
  }

  // Reads events, and asks again after the last one seen when the connection breaks.
  template <typename Request, typename Open>
  absl::Status Watch(Request request, const OnEvent& on_event, const Open& open) {
    Redial redial(options_.reconnect_timeout);
    while (true) {
      grpc::ClientContext context;
      const auto reader = open(&context, request);
      for (v1::Event event; reader->Read(&event);) {
        redial.Succeeded();
        request.set_after_sequence(event.sequence());
        if (on_event(event)) continue;
        context.TryCancel();
        return absl::OkStatus();
      }
      const grpc::Status status = reader->Finish();
      const bool broken = status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE;
      if (!broken || !redial.WaitForChannel(*channel_)) return FromGrpc(status, address_);
    }
  }

  const ConnectOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::TaskService::Stub> tasks_;
  const std::unique_ptr<v1::PoolService::Stub> pools_;
  const std::unique_ptr<v1::WorkerService::Stub> workers_;
  const std::unique_ptr<v1::FunctionService::Stub> functions_;
  const std::unique_ptr<v1::DaemonService::Stub> daemon_;
};

}  // namespace

std::unique_ptr<Api> MakeApi(const Connection& connection, const ConnectOptions& options) {
  return std::make_unique<ApiImpl>(connection, options);
}

absl::StatusOr<std::unique_ptr<Api>> Api::Connect(const ConnectOptions& options) {
  absl::StatusOr<Connection> connection =
      OpenChannel(options, absl::Now() + options.connect_timeout);
  if (!connection.ok()) return connection.status();
  return MakeApi(*connection, options);
}

}  // namespace prefork::client
