#include "client/python/native/client_calls.h"

#include <google/protobuf/util/json_util.h>

#include <functional>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefork::python {
namespace {

using client::Api;
using google::protobuf::util::JsonPrintOptions;

using Handler = std::function<absl::StatusOr<std::string>(Api&, const std::string&)>;

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message) {
  JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) return absl::InternalError(std::string(status.message()));
  return json;
}

absl::StatusOr<std::string> ToJson(const absl::Status& status) {
  if (!status.ok()) return status;
  return "{}";
}

template <typename T>
absl::StatusOr<std::string> ToJson(const absl::StatusOr<T>& answer) {
  if (!answer.ok()) return answer.status();
  return ToJson(*answer);
}

// `call` gets the request and answers with a Status, or a StatusOr of a message.
template <typename Request, typename Function>
Handler Method(Function call) {
  return [call](Api& api, const std::string& json) -> absl::StatusOr<std::string> {
    Request request;
    const auto read = google::protobuf::util::JsonStringToMessage(json, &request);
    if (!read.ok()) return absl::InvalidArgumentError(std::string(read.message()));
    return ToJson(call(api, request));
  };
}

const std::map<std::string, Handler>& Methods() {
  static const auto* const methods = new std::map<std::string, Handler>{
      {"GetTask", Method<v1::GetTaskRequest>([](Api& api, const auto& request) {
         return api.GetTask(request.task_id());
       })},
      {"SignalTask", Method<v1::SignalTaskRequest>([](Api& api, const auto& request) {
         return api.SignalTask(request.task_id(), request.signal());
       })},
      {"CreatePool",
       Method<v1::PoolSpec>([](Api& api, const auto& request) { return api.CreatePool(request); })},
      {"GetPool", Method<v1::GetPoolRequest>(
                      [](Api& api, const auto& request) { return api.GetPool(request.name()); })},
      {"ListPools",
       Method<v1::ListPoolsRequest>([](Api& api, const auto&) { return api.ListPools(); })},
      {"DeletePool", Method<v1::DeletePoolRequest>([](Api& api, const auto& request) {
         return api.DeletePool(request.name(), request.force());
       })},
      {"ListWorkers", Method<v1::ListWorkersRequest>([](Api& api, const auto& request) {
         return api.ListWorkers(request.pool());
       })},
      {"SignalWorker", Method<v1::SignalWorkerRequest>([](Api& api, const auto& request) {
         return api.SignalWorker(request);
       })},
      {"ListFunctions", Method<v1::ListFunctionsRequest>([](Api& api, const auto& request) {
         return api.ListFunctions(request.pool());
       })},
      {"GetStatus",
       Method<v1::GetStatusRequest>([](Api& api, const auto&) { return api.GetStatus(); })},
  };
  return *methods;
}

}  // namespace

absl::StatusOr<std::string> Call(Api& api, const std::string& method, const std::string& request) {
  const auto found = Methods().find(method);
  if (found == Methods().end()) {
    return absl::InvalidArgumentError(absl::StrCat("the daemon has no method ", method));
  }
  return found->second(api, request);
}

}  // namespace prefork::python
