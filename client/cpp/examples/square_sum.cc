// The sum of the squares of ten million doubles, computed twice: by the function `square_sum` of a
// native pool, in chunks, and by this process alone.
//
//   square_sum [POOL [COUNT [CHUNK]]]       defaults: native 10000000 100000
//
// A task's payload is its chunk as it lies in memory, its value the eight bytes of the partial sum.
// The partial sums are added in the order of the chunks, so both sums are the same to the last few
// bits; the program ends with 1 when they differ by more than rounding explains.
#include <prefork/client.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using prefork::client::Client;
using prefork::client::TaskHandle;
using prefork::client::TaskResult;

double SquareSum(const double* begin, const double* end) {
  double sum = 0;
  for (const double* number = begin; number != end; ++number) sum += *number * *number;
  return sum;
}

std::string_view Bytes(const double* begin, size_t count) {
  return {reinterpret_cast<const char*>(begin), count * sizeof(double)};
}

// The chunks as tasks; their handles in order.
absl::StatusOr<std::vector<TaskHandle>> SubmitChunks(Client& client, const std::string& pool,
                                                     const std::vector<double>& numbers,
                                                     size_t chunk) {
  auto work = client.Prepare({.pool = pool, .function = "square_sum"});
  if (!work.ok()) return work.status();
  std::vector<TaskHandle> tasks;
  for (size_t start = 0; start < numbers.size(); start += chunk) {
    const size_t count = std::min(chunk, numbers.size() - start);
    auto task = work->Submit(Bytes(numbers.data() + start, count));
    if (!task.ok()) return task.status();
    tasks.push_back(*std::move(task));
  }
  return tasks;
}

absl::StatusOr<double> AddPartialSums(const std::vector<TaskHandle>& tasks) {
  double sum = 0;
  for (const TaskHandle& task : tasks) {
    const absl::StatusOr<TaskResult> result = task.Get();
    if (!result.ok()) return result.status();
    if (!result->ok()) return ToStatus(*result);
    double partial = 0;
    if (result->value.size() != sizeof(partial)) {
      return absl::DataLossError("a partial sum has not the size of a double");
    }
    std::memcpy(&partial, result->value.data(), sizeof(partial));
    sum += partial;
  }
  return sum;
}

bool ParseCount(std::string_view text, size_t* count) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *count);
  return error == std::errc() && end == text.data() + text.size() && *count > 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string pool = argc > 1 ? argv[1] : "native";
  size_t count = 10'000'000;
  size_t chunk = 100'000;
  if ((argc > 2 && !ParseCount(argv[2], &count)) || (argc > 3 && !ParseCount(argv[3], &chunk))) {
    std::cerr << "usage: square_sum [POOL [COUNT [CHUNK]]]; COUNT and CHUNK are whole numbers\n";
    return 2;
  }
  std::vector<double> numbers(count);
  for (size_t i = 0; i < count; ++i) numbers[i] = std::sin(static_cast<double>(i));

  absl::StatusOr<Client> client = Client::Connect();
  if (!client.ok()) return std::cerr << client.status() << '\n', 1;
  const auto tasks = SubmitChunks(*client, pool, numbers, chunk);
  if (!tasks.ok()) return std::cerr << tasks.status() << '\n', 1;
  const absl::StatusOr<double> pooled = AddPartialSums(*tasks);
  if (!pooled.ok()) return std::cerr << pooled.status() << '\n', 1;
  const double alone = SquareSum(numbers.data(), numbers.data() + numbers.size());

  std::cout << std::setprecision(17) << "chunks          " << tasks->size() << '\n'
            << "pool            " << *pooled << '\n'
            << "single process  " << alone << '\n';
  const bool equal = std::abs(*pooled - alone) <= 1e-9 * std::abs(alone);
  std::cout << (equal ? "equal within rounding\n" : "DIFFERENT\n");
  return equal ? 0 : 1;
}
