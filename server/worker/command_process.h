#ifndef PREFORK_SERVER_WORKER_COMMAND_PROCESS_H_
#define PREFORK_SERVER_WORKER_COMMAND_PROCESS_H_

#include <string>
#include <vector>

#include "common/os/pidfd.h"
#include "common/zygote/command_codec.h"

namespace prefork::worker {

// What came of starting a program.
struct StartedCommand {
  os::Pidfd process;  // valid exactly when it runs
  // Why it does not run, and the exit code a shell would give: 127 not found, 126 anything else.
  std::string error;
  int exit_code = 0;
};

// Executes `command` as a child: leader of its own process group, stdout and stderr ours, stdin a
// memory file with its input (or /dev/null), default signals. Never throws and never fails
// otherwise.
StartedCommand StartCommand(const zygote::CommandBlock& command);

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_COMMAND_PROCESS_H_
