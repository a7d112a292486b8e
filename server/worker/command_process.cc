// Starting a program from a worker.
//
//   worker                                    child (vfork: shares our memory, we stand still)
//   argv, env, PATH candidates, stdin memfd
//   pipe, closed on exec
//   vfork ------------------------------->    own process group, default signals
//                                             setrlimit..., chdir, stdin
//   read(pipe): end of file = it runs   <--   execve of each candidate
//   read(pipe): a Failure = it does not <--   or: write(Failure), _exit
//
// posix_spawn can't set resource limits. The child makes system calls only: everything it needs is
// laid out before. The failure travels through a pipe, so that nothing depends on memory being
// shared (under ThreadSanitizer vfork is fork).
//
// stdin is a memfd: it can't fill up, so nobody has to feed the program while it runs.
#include "server/worker/command_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/os/errno_status.h"
#include "common/os/fd.h"
#include "common/os/pipe.h"

extern char** environ;

namespace prefork::worker {
namespace {

constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;
// execvp's, for an environment without PATH.
constexpr char kDefaultPath[] = "/usr/local/bin:/bin:/usr/bin";

// What the child tells when it can't become the program.
struct Failure {
  enum class Step : int { kLimit, kDirectory, kStdin, kExecute } step;
  int error_number;
  int limit;  // index into Plan::limits
};

// Everything the child needs, ready-made.
struct Plan {
  std::vector<std::string> environment;
  std::vector<std::string> candidates;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<std::pair<int, rlimit>> limits;
  const char* cwd = nullptr;
  os::Fd stdin_file;
  os::Pipe failure;
};

std::string_view NameOf(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

std::vector<std::string> MakeEnvironment(const zygote::CommandBlock& command) {
  std::vector<std::string> environment;
  const auto is_set = [&](std::string_view name) {
    for (const auto& [set_name, value] : command.env) {
      if (set_name == name) return true;
    }
    return false;
  };
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!is_set(NameOf(*variable))) environment.emplace_back(*variable);
  }
  for (const auto& [name, value] : command.env) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

// Where execve is tried, as execvp does it; with the child's PATH.
std::vector<std::string> FindCandidates(const std::string& program,
                                        const std::vector<std::string>& environment) {
  if (absl::StrContains(program, '/')) return {program};
  std::string path = kDefaultPath;
  for (const std::string& variable : environment) {
    if (absl::StartsWith(variable, "PATH=")) path = variable.substr(5);
  }
  std::vector<std::string> candidates;
  for (const absl::string_view directory : absl::StrSplit(path, ':')) {
    candidates.push_back(directory.empty() ? program : absl::StrCat(directory, "/", program));
  }
  return candidates;
}

// A file with the program's input, positioned at its start.
absl::StatusOr<os::Fd> MakeStdin(std::string_view input) {
  os::Fd file(input.empty() ? open("/dev/null", O_RDONLY | O_CLOEXEC)
                            : memfd_create("prefork-stdin", MFD_CLOEXEC));
  if (!file.valid()) return os::ErrnoStatus(errno, "cannot make the program's stdin");
  while (!input.empty()) {
    const ssize_t written = write(file.get(), input.data(), input.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return os::ErrnoStatus(errno, "cannot fill the program's stdin");
    input.remove_prefix(static_cast<size_t>(written));
  }
  if (lseek(file.get(), 0, SEEK_SET) < 0 && errno != ESPIPE) {
    return os::ErrnoStatus(errno, "cannot rewind the program's stdin");
  }
  return file;
}

absl::Status Prepare(const zygote::CommandBlock& command, Plan& plan) {
  plan.environment = MakeEnvironment(command);
  plan.candidates = FindCandidates(command.argv[0], plan.environment);
  for (const std::string& argument : command.argv) {
    plan.argv.push_back(const_cast<char*>(argument.c_str()));
  }
  plan.argv.push_back(nullptr);
  for (std::string& variable : plan.environment) plan.envp.push_back(variable.data());
  plan.envp.push_back(nullptr);
  for (const zygote::CommandBlock::Limit& limit : command.limits) {
    plan.limits.emplace_back(static_cast<int>(limit.resource), rlimit{limit.value, limit.value});
  }
  if (!command.cwd.empty()) plan.cwd = command.cwd.c_str();
  absl::StatusOr<os::Fd> stdin_file = MakeStdin(command.stdin_bytes);
  if (!stdin_file.ok()) return stdin_file.status();
  plan.stdin_file = *std::move(stdin_file);
  absl::StatusOr<os::Pipe> failure = os::CreatePipe();
  if (!failure.ok()) return failure.status();
  plan.failure = *std::move(failure);
  return absl::OkStatus();
}

[[noreturn]] void FailInChild(const Plan& plan, Failure::Step step, int error_number,
                              int limit = 0) {
  const Failure failure = {step, error_number, limit};
  // A pipe takes so few bytes at once or not at all; if not, the exit code still tells.
  [[maybe_unused]] const ssize_t written =
      write(plan.failure.write_end.get(), &failure, sizeof(failure));
  _exit(kNotFound);
}

// The child's side: system calls only.
[[noreturn]] void Become(const Plan& plan) {
  setpgid(0, 0);
  struct sigaction default_action = {};
  default_action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &default_action, nullptr);
  for (size_t i = 0; i < plan.limits.size(); ++i) {
    const auto& [resource, limit] = plan.limits[i];
    if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) {
      FailInChild(plan, Failure::Step::kLimit, errno, static_cast<int>(i));
    }
  }
  if (plan.cwd != nullptr && chdir(plan.cwd) != 0) {
    FailInChild(plan, Failure::Step::kDirectory, errno);
  }
  if (dup2(plan.stdin_file.get(), STDIN_FILENO) < 0) {
    FailInChild(plan, Failure::Step::kStdin, errno);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  int error_number = ENOENT;
  for (const std::string& candidate : plan.candidates) {
    execve(candidate.c_str(), plan.argv.data(), plan.envp.data());
    // As execvp: a directory that can't be searched, or a file that can't be executed, is
    // remembered and the search goes on.
    if (errno == EACCES) error_number = EACCES;
    if (errno == EACCES || errno == ENOENT || errno == ENOTDIR) continue;
    error_number = errno;
    break;
  }
  FailInChild(plan, Failure::Step::kExecute, error_number);
}

// All signals are blocked around vfork, so that no handler of ours runs in the child on our memory.
__attribute__((noinline)) pid_t ForkAndBecome(const Plan& plan) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t child = vfork();  // NOLINT: the child only makes system calls
  if (child == 0) Become(plan);
  const int fork_error = errno;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  errno = fork_error;
  return child;
}

std::string LimitName(int resource) {
  switch (resource) {
    case RLIMIT_CPU:
      return "RLIMIT_CPU";
    case RLIMIT_AS:
      return "RLIMIT_AS";
    case RLIMIT_FSIZE:
      return "RLIMIT_FSIZE";
    case RLIMIT_NOFILE:
      return "RLIMIT_NOFILE";
    case RLIMIT_CORE:
      return "RLIMIT_CORE";
    case RLIMIT_STACK:
      return "RLIMIT_STACK";
    case RLIMIT_NPROC:
      return "RLIMIT_NPROC";
    default:
      return absl::StrCat("resource ", resource);
  }
}

StartedCommand Describe(const zygote::CommandBlock& command, const Failure& failure) {
  StartedCommand result;
  result.exit_code = kNotExecutable;
  std::string what;
  std::string cure;
  switch (failure.step) {
    case Failure::Step::kLimit: {
      const zygote::CommandBlock::Limit& limit = command.limits[failure.limit];
      what = absl::StrCat("cannot set ", LimitName(static_cast<int>(limit.resource)), " to ",
                          limit.value);
      if (failure.error_number == EPERM) cure = "; it is above the worker's own hard limit";
      break;
    }
    case Failure::Step::kDirectory:
      what = absl::StrCat("cannot change to the directory '", command.cwd, "'");
      break;
    case Failure::Step::kStdin:
      what = "cannot attach the program's stdin";
      break;
    case Failure::Step::kExecute:
      what = absl::StrCat("cannot execute '", command.argv[0], "'");
      if (failure.error_number == ENOENT) result.exit_code = kNotFound;
      if (failure.error_number == ENOEXEC) cure = "; a script needs a first line such as #!/bin/sh";
      break;
  }
  result.error = absl::StrCat(what, ": ", strerror(failure.error_number), cure);
  return result;
}

StartedCommand Refuse(absl::string_view why) {
  StartedCommand result;
  result.error = std::string(why);
  result.exit_code = kNotExecutable;
  return result;
}

}  // namespace

StartedCommand StartCommand(const zygote::CommandBlock& command) {
  Plan plan;
  if (absl::Status status = Prepare(command, plan); !status.ok()) return Refuse(status.message());
  const pid_t child = ForkAndBecome(plan);
  if (child < 0) {
    return Refuse(os::ErrnoStatus(errno, "cannot start a process: vfork").message());
  }
  plan.failure.write_end.Reset();
  absl::StatusOr<os::Pidfd> process = os::Pidfd::Open(child);
  Failure failure;
  ssize_t count;
  do {
    count = read(plan.failure.read_end.get(), &failure, sizeof(failure));
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(sizeof(failure))) {
    waitpid(child, nullptr, 0);
    return Describe(command, failure);
  }
  if (!process.ok()) {  // out of descriptors: a program that can't be watched must not run
    kill(-child, SIGKILL);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    return Refuse(process.status().message());
  }
  StartedCommand result;
  result.process = *std::move(process);
  return result;
}

}  // namespace prefork::worker
