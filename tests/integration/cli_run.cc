#include "tests/integration/cli_run.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/os/spawn.h"

namespace prefork::testing {
namespace {

os::Fd MakeFile(const std::string& content) {
  os::Fd file(memfd_create("cli_run", MFD_CLOEXEC));
  EXPECT_TRUE(file.valid());
  EXPECT_EQ(write(file.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string ReadFile(int fd) {
  struct stat info = {};
  fstat(fd, &info);
  std::string content(static_cast<size_t>(info.st_size), '\0');
  const ssize_t size = pread(fd, content.data(), content.size(), 0);
  content.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return content;
}

}  // namespace

CliRun::CliRun(const std::vector<std::string>& argv, const std::string& input,
               const std::map<std::string, std::string>& env)
    : out_(MakeFile("")), err_(MakeFile("")) {
  const os::Fd in = MakeFile(input);
  os::SpawnOptions options;
  options.argv = argv;
  options.env = os::CurrentEnvironment();
  for (const auto& [name, value] : env) {
    const std::string prefix = absl::StrCat(name, "=");
    std::erase_if(options.env,
                  [&](const std::string& entry) { return absl::StartsWith(entry, prefix); });
    options.env.push_back(prefix + value);
  }
  options.fds = {
      {STDIN_FILENO, in.get()}, {STDOUT_FILENO, out_.get()}, {STDERR_FILENO, err_.get()}};
  auto process = os::Spawn(options);
  EXPECT_TRUE(process.ok()) << process.status();
  if (process.ok()) process_ = *std::move(process);
}

CliRun::~CliRun() {
  if (reaped_ || !process_.valid()) return;
  (void)process_.SendSignal(SIGKILL);
  (void)process_.Reap(/*wait=*/true);
}

void CliRun::Signal(int signal) const { EXPECT_TRUE(process_.SendSignal(signal).ok()); }
std::string CliRun::Out() const { return ReadFile(out_.get()); }
std::string CliRun::Err() const { return ReadFile(err_.get()); }

CliRun::Result CliRun::Finish(absl::Duration patience) {
  Result result;
  pollfd end = {.fd = process_.fd(), .events = POLLIN, .revents = 0};
  if (process_.valid() &&
      poll(&end, 1, static_cast<int>(absl::ToInt64Milliseconds(patience))) == 1) {
    const auto exit = process_.Reap(/*wait=*/true);
    reaped_ = true;
    if (exit.ok() && exit->has_value()) {
      const int status = (*exit)->wait_status;
      result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  }
  result.out = Out();
  result.err = Err();
  return result;
}

}  // namespace prefork::testing
