#include "server/worker/zygote_main.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/zygote/control_socket.h"
#include "common/zygote/message.h"
#include "server/worker/arguments.h"
#include "server/worker/command_runtime.h"
#include "server/worker/native_runtime.h"
#include "server/worker/process_title.h"
#include "server/worker/zygote.h"
#include "server/worker/zygote_socket.h"

namespace prefork::worker {
namespace {

void Complain(const absl::Status& why) {
  std::fprintf(stderr, "prefork-worker: %s\n", std::string(why.message()).c_str());
}

absl::StatusOr<std::unique_ptr<Runtime>> LoadRuntime(const Arguments& arguments,
                                                     zygote::ControlSocket& daemon) {
  if (arguments.runtime == Arguments::RuntimeKind::kCommand) {
    return std::unique_ptr<Runtime>(std::make_unique<CommandRuntime>());
  }
  const auto report = [&daemon](const std::string& why) {
    (void)daemon.Send(zygote::Failed{why});  // nobody else to tell
  };
  absl::StatusOr<std::unique_ptr<NativeRuntime>> native =
      NativeRuntime::Load(arguments.modules, report);
  if (!native.ok()) return native.status();
  return std::unique_ptr<Runtime>(*std::move(native));
}

int Fail(zygote::ControlSocket& daemon, const absl::Status& why) {
  Complain(why);
  (void)daemon.Send(zygote::Failed{std::string(why.message())});  // stderr has it as well
  return 1;
}

}  // namespace

int ZygoteMain(int argc, char** argv, StepObserver* observer) {
  absl::StatusOr<zygote::ControlSocket> daemon = TakeDaemonSocket();
  if (!daemon.ok()) {
    Complain(daemon.status());
    return 2;
  }
  const absl::StatusOr<Arguments> arguments = ParseArguments(argc, argv);
  if (!arguments.ok()) return Fail(*daemon, arguments.status());
  FindTitle();
  const absl::StatusOr<std::unique_ptr<Runtime>> runtime = LoadRuntime(*arguments, *daemon);
  if (!runtime.ok()) return Fail(*daemon, runtime.status());
  absl::StatusOr<Zygote> zygote =
      Zygote::Create(*std::move(daemon), runtime->get(), {arguments->pool, observer});
  if (!zygote.ok()) {
    Complain(zygote.status());
    return 1;
  }
  return zygote->Run();
}

}  // namespace prefork::worker
