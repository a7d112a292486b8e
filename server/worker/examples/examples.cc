// Functions to try prefork with, to show what a native module looks like, and to measure with.
#include <openssl/evp.h>
#include <poll.h>
#include <prefork/native.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using prefork::native::Result;
using prefork::native::Task;

constexpr char kText[] = "text/plain";
constexpr char kDoubles[] = "application/x-float64le";

Result Noop(Task&) { return Result::Ok(); }

Result Echo(Task& task) {
  const std::string_view payload = task.payload();
  std::string error;
  char* const value = task.AllocateValue(payload.size(), task.content_type(), &error);
  if (value == nullptr) return Result::Error(error);
  if (!payload.empty()) std::memcpy(value, payload.data(), payload.size());
  return Result::Allocated();
}

Result Fail(Task& task) {
  return Result::Error(task.payload().empty() ? "failed as asked" : std::string(task.payload()));
}

// Four accumulators, so that the additions do not wait for each other.
double SquareSum(const char* bytes, size_t count) {
  double sums[4] = {};
  size_t i = 0;
  double values[4];
  for (; i + 4 <= count; i += 4) {
    std::memcpy(values, bytes + i * sizeof(double), sizeof(values));
    for (int lane = 0; lane < 4; ++lane) sums[lane] += values[lane] * values[lane];
  }
  for (; i < count; ++i) {
    std::memcpy(values, bytes + i * sizeof(double), sizeof(double));
    sums[0] += values[0] * values[0];
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

Result SquareSumOfPayload(Task& task) {
  const std::string_view payload = task.payload();
  if (payload.size() % sizeof(double) != 0) {
    return Result::Error("the payload's " + std::to_string(payload.size()) +
                         " bytes are no whole number of doubles");
  }
  const double sum = SquareSum(payload.data(), payload.size() / sizeof(double));
  std::string value(sizeof(sum), '\0');
  std::memcpy(value.data(), &sum, sizeof(sum));
  return Result::Value(std::move(value), kDoubles);
}

std::string Hex(const unsigned char* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text.push_back(kDigits[bytes[i] >> 4]);
    text.push_back(kDigits[bytes[i] & 15]);
  }
  return text;
}

Result Sha256OfFile(Task& task) {
  static constexpr size_t kChunkBytes = 256 << 10;
  const std::string path(task.payload());
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (file == nullptr) return Result::Error("cannot open " + path + ": " + std::strerror(errno));
  std::setvbuf(file.get(), nullptr, _IONBF, 0);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(),
                                                                  EVP_MD_CTX_free);
  if (digest == nullptr || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1) {
    return Result::Error("OpenSSL has no SHA-256 to offer");
  }
  std::vector<char> chunk(kChunkBytes);
  size_t count;
  while ((count = std::fread(chunk.data(), 1, chunk.size(), file.get())) > 0) {
    if (task.cancelled()) return Result::Cancelled();
    EVP_DigestUpdate(digest.get(), chunk.data(), count);
  }
  if (std::ferror(file.get()) != 0) {
    return Result::Error("cannot read " + path + ": " + std::strerror(errno));
  }
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(digest.get(), bytes, &size);
  return Result::Value(Hex(bytes, size), kText);
}

// A number in the payload, at least 0; -1 when it is none.
int64_t NumberIn(std::string_view text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : -1;
}

// How often a sleeping function looks whether it is cancelled.
constexpr int64_t kLookMs = 10;

// Sleeps; false when cancelled meanwhile.
bool SleepMs(const Task& task, int64_t milliseconds) {
  for (int64_t left = milliseconds; left > 0; left -= kLookMs) {
    if (task.cancelled()) return false;
    poll(nullptr, 0, static_cast<int>(left < kLookMs ? left : kLookMs));
  }
  return !task.cancelled();
}

Result Sleep(Task& task) {
  const int64_t milliseconds = NumberIn(task.payload());
  if (milliseconds < 0) return Result::Error("the payload is no number of milliseconds");
  return SleepMs(task, milliseconds) ? Result::Ok() : Result::Cancelled();
}

Result CountDown(Task& task) {
  static constexpr int64_t kStepMs = 50;
  const int64_t steps = NumberIn(task.payload());
  if (steps < 0) return Result::Error("the payload is no number of steps");
  for (int64_t step = 1; step <= steps; ++step) {
    if (!SleepMs(task, kStepMs)) return Result::Cancelled();
    const std::string text = "step " + std::to_string(step) + " of " + std::to_string(steps);
    task.Progress(static_cast<double>(step), static_cast<double>(steps), text);
    std::puts(text.c_str());
    task.Emit(std::to_string(steps - step), kText);
  }
  return Result::Value("done", kText);
}

}  // namespace

PREFORK_FUNCTION("noop", "does nothing", Noop)
PREFORK_FUNCTION("echo", "returns its payload", Echo)
PREFORK_FUNCTION("fail", "fails with its payload as the error", Fail)
PREFORK_FUNCTION("square_sum", "sum of the squares of little-endian doubles, as one double",
                 SquareSumOfPayload)
PREFORK_FUNCTION("sha256_file", "SHA-256 in hex of the file whose path is the payload",
                 Sha256OfFile)
PREFORK_FUNCTION("sleep_ms", "sleeps so many milliseconds; stops when cancelled", Sleep)
PREFORK_FUNCTION("countdown",
                 "so many steps of 50 ms, each with progress, output and a partial result",
                 CountDown)
