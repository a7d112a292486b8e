// Functions that misbehave on request, for tests of everything around workers. The payload is the
// argument: a number where one is named, else text.
#include <prefork/native.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using prefork::native::Result;
using prefork::native::Task;

// The number in the payload; malformed ones are a bug of the test.
uint64_t Number(const Task& task) {
  uint64_t number = 0;
  const std::string_view text = task.payload();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument("'" + std::string(text) + "' is no number");
  }
  return number;
}

[[noreturn]] void SleepForever() {
  for (;;) pause();
}

Result Noop(Task&) { return Result::Ok(); }
Result Echo(Task& task) {
  return Result::Value(std::string(task.payload()), std::string(task.content_type()));
}
Result Fail(Task& task) { return Result::Error(std::string(task.payload())); }
Result Throw(Task& task) { throw std::runtime_error(std::string(task.payload())); }
Result ThrowNumber(Task&) { throw 42; }

Result Exit(Task& task) { std::exit(static_cast<int>(Number(task))); }
Result Abort(Task&) {
  std::fputs("about to abort\n", stderr);
  std::abort();
}
Result Segfault(Task&) {
  // SIGSEGV without undefined behaviour, so that sanitizers do not get in between.
  signal(SIGSEGV, SIG_DFL);
  raise(SIGSEGV);
  return Result::Error("survived SIGSEGV");
}
Result KillSelf(Task& task) {
  raise(static_cast<int>(Number(task)));
  return Result::Error("survived the signal");
}
Result Hang(Task&) { SleepForever(); }
Result IgnoreTerm(Task&) {
  signal(SIGTERM, SIG_IGN);
  SleepForever();
}
Result WaitCancelled(Task& task) {
  while (!task.cancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return Result::Cancelled();
}

// Leaves a grandchild behind that ignores SIGTERM, in a session of its own; returns its pid.
pid_t LeaveGrandchild() {
  int channel[2];
  if (pipe(channel) != 0) throw std::runtime_error("pipe failed");
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      setsid();
      signal(SIGTERM, SIG_IGN);
      const pid_t self = getpid();
      if (write(channel[1], &self, sizeof(self)) != sizeof(self)) _exit(1);
      SleepForever();
    }
    _exit(0);
  }
  close(channel[1]);
  pid_t grandchild = 0;
  const ssize_t count = read(channel[0], &grandchild, sizeof(grandchild));
  close(channel[0]);
  if (count != sizeof(grandchild)) throw std::runtime_error("the grandchild did not start");
  return grandchild;
}
Result Orphan(Task&) { return Result::Value(std::to_string(LeaveGrandchild())); }
Result OrphanAndHang(Task& task) {
  task.Emit(std::to_string(LeaveGrandchild()));
  signal(SIGTERM, SIG_IGN);
  SleepForever();
}
Result OrphanAndCrash(Task& task) {
  task.Emit(std::to_string(LeaveGrandchild()));
  raise(SIGKILL);
  return Result::Ok();
}

Result AllocateMegabytes(Task& task) {
  const std::vector<std::string> memory(1, std::string(Number(task) << 20, 'x'));
  // The write to a volatile keeps the compiler from seeing through it all.
  static volatile char last;
  last = memory.front().back();
  return Result::Value(std::string(1, last));
}
// As above, and keeps it: for recycling by resident set.
Result LeakMegabytes(Task& task) {
  static auto* const kept = new std::vector<std::string>();
  kept->emplace_back(Number(task) << 20, 'x');
  return Result::Ok();
}

Result Print(Task& task) {
  std::fwrite(task.payload().data(), 1, task.payload().size(), stdout);
  return Result::Ok();
}
Result PrintError(Task& task) {
  std::cerr << task.payload();
  return Result::Ok();
}
// "ID\n" to both streams, by way of each of the usual means.
Result PrintId(Task& task) {
  std::cout << task.id() << "\n";
  std::fprintf(stderr, "%llu\n", static_cast<unsigned long long>(task.id()));
  return Result::Ok();
}
Result PrintBytes(Task& task) {
  const std::string line(99, 'x');
  for (uint64_t left = Number(task); left > 0;) {
    const size_t count = left < 100 ? left : 100;
    std::fwrite(line.data(), 1, count - 1, stdout);
    std::fputc('\n', stdout);
    left -= count;
  }
  return Result::Ok();
}

Result EmitSome(Task& task) {
  const uint64_t count = Number(task);
  for (uint64_t i = 0; i < count; ++i) {
    std::string error;
    if (!task.Emit(std::to_string(i), "text/plain", &error)) return Result::Error(error);
    task.Progress(static_cast<double>(i + 1), static_cast<double>(count), "emitted");
  }
  return Result::Ok();
}
char PatternAt(size_t i) { return static_cast<char>('a' + i % 26); }
std::string Pattern(size_t bytes) {
  std::string value(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) value[i] = PatternAt(i);
  return value;
}
Result EmitBytes(Task& task) {
  std::string error;
  if (!task.Emit(Pattern(Number(task)), "text/plain", &error)) return Result::Error(error);
  return Result::Ok();
}
Result ValueBytes(Task& task) { return Result::Value(Pattern(Number(task)), "text/plain"); }
Result AllocatedValueBytes(Task& task) {
  const size_t bytes = Number(task);
  std::string error;
  char* data = task.AllocateValue(bytes, "text/plain", &error);
  if (data == nullptr) return Result::Error(error);
  for (size_t i = 0; i < bytes; ++i) data[i] = PatternAt(i);
  return Result::Allocated();
}
Result PayloadSize(Task& task) { return Result::Value(std::to_string(task.payload().size())); }

Result SpinMicroseconds(Task& task) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(Number(task));
  while (std::chrono::steady_clock::now() < end) {
  }
  return Result::Ok();
}

// As above, by the CPU's own clock: other processes do not shorten it.
Result BurnMicroseconds(Task& task) {
  const auto cpu_ns = [] {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  };
  const int64_t end_ns = cpu_ns() + static_cast<int64_t>(Number(task)) * 1000;
  while (cpu_ns() < end_ns) {
  }
  return Result::Ok();
}

Result WorkerPid(Task&) { return Result::Value(std::to_string(getpid())); }
Result Attempt(Task& task) { return Result::Value(std::to_string(task.attempt())); }
// Crashes in the first so many attempts.
Result CrashUntilAttempt(Task& task) {
  if (task.attempt() <= Number(task)) raise(SIGKILL);
  return Result::Ok();
}

// A message by duck typing: "N" is the number N.
struct NumberMessage {
  long value = 0;
  bool ParseFromArray(const void* data, int size) {
    const char* begin = static_cast<const char*>(data);
    const auto [end, error] = std::from_chars(begin, begin + size, value);
    return error == std::errc() && end == begin + size;
  }
  bool SerializeToString(std::string* out) const {
    *out = std::to_string(value);
    return true;
  }
  std::string GetTypeName() const { return "testing.NumberMessage"; }
};
Result Double(const NumberMessage& request, NumberMessage& response, Task&) {
  if (request.value < 0) return Result::Error("negative");
  response.value = 2 * request.value;
  return Result::Ok();
}

}  // namespace

PREFORK_FUNCTION("noop", "", Noop)
PREFORK_FUNCTION("echo", "returns its payload", Echo)
PREFORK_FUNCTION("fail", "fails with its payload", Fail)
PREFORK_FUNCTION("throw", "throws std::runtime_error(payload)", Throw)
PREFORK_FUNCTION("throw_number", "throws 42", ThrowNumber)
PREFORK_FUNCTION("exit", "exit(N)", Exit)
PREFORK_FUNCTION("abort", "a word on stderr, then abort()", Abort)
PREFORK_FUNCTION("segfault", "dies of SIGSEGV", Segfault)
PREFORK_FUNCTION("kill_self", "raises signal N", KillSelf)
PREFORK_FUNCTION("hang", "never returns; dies of SIGTERM", Hang)
PREFORK_FUNCTION("ignore_term", "never returns and ignores SIGTERM", IgnoreTerm)
PREFORK_FUNCTION("wait_cancelled", "returns when it is cancelled", WaitCancelled)
PREFORK_FUNCTION("orphan", "leaves a stubborn grandchild behind, returns its pid", Orphan)
PREFORK_FUNCTION("orphan_and_hang", "emits a stubborn grandchild's pid, ignores SIGTERM, hangs",
                 OrphanAndHang)
PREFORK_FUNCTION("orphan_and_crash", "emits a stubborn grandchild's pid, dies of SIGKILL",
                 OrphanAndCrash)
PREFORK_FUNCTION("allocate_mb", "touches N MiB and frees them", AllocateMegabytes)
PREFORK_FUNCTION("leak_mb", "touches N MiB and keeps them", LeakMegabytes)
PREFORK_FUNCTION("print", "payload to stdout", Print)
PREFORK_FUNCTION("print_error", "payload to stderr", PrintError)
PREFORK_FUNCTION("print_id", "its task's ID and a line end to stdout and stderr", PrintId)
PREFORK_FUNCTION("print_bytes", "N bytes to stdout, in lines", PrintBytes)
PREFORK_FUNCTION("emit", "emits N partial results with progress", EmitSome)
PREFORK_FUNCTION("emit_bytes", "emits one partial result of N bytes", EmitBytes)
PREFORK_FUNCTION("value_bytes", "a value of N bytes, abc...", ValueBytes)
PREFORK_FUNCTION("allocated_value_bytes", "the same, filled in place", AllocatedValueBytes)
PREFORK_FUNCTION("payload_size", "size of its payload", PayloadSize)
PREFORK_FUNCTION("spin_us", "keeps the CPU busy for N microseconds", SpinMicroseconds)
PREFORK_FUNCTION("burn_us", "uses up N microseconds of CPU time", BurnMicroseconds)
PREFORK_FUNCTION("worker_pid", "pid of its worker", WorkerPid)
PREFORK_FUNCTION("attempt", "number of its attempt", Attempt)
PREFORK_FUNCTION("crash_until_attempt", "dies of SIGKILL in the first N attempts",
                 CrashUntilAttempt)
PREFORK_PROTO_FUNCTION("double", "twice the number", NumberMessage, NumberMessage, Double)
