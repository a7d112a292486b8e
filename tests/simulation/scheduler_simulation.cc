// Runs random histories of the scheduler until the wanted number of steps is reached.
//
//   scheduler_simulation                       PREFORK_SIMULATION_STEPS or ten million steps, new seeds
//   scheduler_simulation --seed N --steps M    M steps of the one history with seed N
//   scheduler_simulation --seed N --steps M --trace    and print all that happens

#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <string_view>

#include "tests/simulation/history.h"
#include "tests/simulation/random.h"

namespace {

using prefork::simulation::History;

constexpr uint64_t kDefaultSteps = 10'000'000;
constexpr uint64_t kStepsOfAHistory = 5'000;

// Where we are, for the message of a failed check.
uint64_t current_seed = 0;
volatile uint64_t current_step = 0;

void PrintPosition(int /*signal*/) {
  std::fprintf(
      stderr,
      "failed with seed %llu at step %llu; replay with: scheduler_simulation --seed %llu "
      "--steps %llu --trace\n",
      static_cast<unsigned long long>(current_seed), static_cast<unsigned long long>(current_step),
      static_cast<unsigned long long>(current_seed), static_cast<unsigned long long>(current_step));
}

// Steps of the history `seed`, of which `steps` are chaos and the rest leads to the end.
uint64_t Run(uint64_t seed, uint64_t steps, bool trace) {
  current_seed = seed;
  current_step = 0;
  History history(seed, trace);
  for (uint64_t step = 1; step <= steps; ++step) {
    current_step = step;
    if (trace) {
      std::printf("step %llu\n", static_cast<unsigned long long>(step));
    }
    history.Step();
  }
  return steps + history.Finish();
}

std::optional<uint64_t> ParseNumber(const char* text) {
  uint64_t number = 0;
  const char* end = text + std::strlen(text);
  const auto [parsed, error] = std::from_chars(text, end, number);
  return error == std::errc() && parsed == end ? std::optional(number) : std::nullopt;
}

int Usage(const char* complaint) {
  std::fprintf(stderr, "%s\nusage: scheduler_simulation [--seed N] [--steps M] [--trace]\n",
               complaint);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::optional<uint64_t> seed;
  std::optional<uint64_t> steps;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--trace") {
      trace = true;
    } else if ((flag == "--seed" || flag == "--steps") && i + 1 < argc) {
      const std::optional<uint64_t> number = ParseNumber(argv[++i]);
      if (!number.has_value()) {
        return Usage("a number was expected after --seed and --steps");
      }
      (flag == "--seed" ? seed : steps) = number;
    } else {
      return Usage("unknown or incomplete flag");
    }
  }
  if (const char* wanted = std::getenv("PREFORK_SIMULATION_STEPS");
      wanted != nullptr && !steps.has_value()) {
    steps = ParseNumber(wanted);
    if (!steps.has_value()) {
      return Usage("PREFORK_SIMULATION_STEPS is not a number");
    }
  }
  std::signal(SIGABRT, PrintPosition);
  if (trace) {
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // complete even if a check aborts
  }
  if (seed.has_value()) {
    const uint64_t done = Run(*seed, steps.value_or(kStepsOfAHistory), trace);
    std::printf("seed %llu: %llu steps, every promise kept\n",
                static_cast<unsigned long long>(*seed), static_cast<unsigned long long>(done));
    return 0;
  }
  std::random_device entropy;
  const uint64_t base = (uint64_t{entropy()} << 32) | entropy();
  prefork::simulation::Random seeds(base);
  uint64_t done = 0;
  uint64_t histories = 0;
  for (const uint64_t wanted = steps.value_or(kDefaultSteps); done < wanted; ++histories) {
    done += Run(seeds.Next(), kStepsOfAHistory, trace);
  }
  std::printf("%llu histories from base seed %llu: %llu steps, every promise kept\n",
              static_cast<unsigned long long>(histories), static_cast<unsigned long long>(base),
              static_cast<unsigned long long>(done));
  return 0;
}
