#ifndef PREFORK_TESTS_BENCH_ROW_H_
#define PREFORK_TESTS_BENCH_ROW_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace prefork::bench {

// Something else that does the same.
struct Figure {
  std::string name{};
  double value = 0;
};

// One round: what is measured, and what it is held against, measured right beside it.
struct Round {
  double value = 0;
  double reference = 0;
  std::vector<Figure> others{};  // the same ones in each round of a row
};

// One line of the table.
struct Row {
  std::string_view name;
  std::string_view unit;
  std::string_view what;
  std::string_view reference;
  // Does so many rounds; sets up once what they share. UNIMPLEMENTED: something that only this row
  // needs is not there.
  absl::StatusOr<std::vector<Round>> (*measure)(int rounds);
};

// All rows, in the order in which they run.
std::span<const Row> AllRows();

// One or two of them a file, in rows/.
absl::StatusOr<std::vector<Round>> MeasureThroughputNoop(int rounds);
absl::StatusOr<std::vector<Round>> MeasureLatencyNoop(int rounds);
absl::StatusOr<std::vector<Round>> MeasureLaneThroughputRow(int rounds);
absl::StatusOr<std::vector<Round>> MeasureLaneRoundTripRow(int rounds);
absl::StatusOr<std::vector<Round>> MeasureWorkerFork(int rounds);
absl::StatusOr<std::vector<Round>> MeasureWorkerRespawn(int rounds);
absl::StatusOr<std::vector<Round>> MeasureIdleWakeups(int rounds);
absl::StatusOr<std::vector<Round>> MeasureDaemonRss(int rounds);
absl::StatusOr<std::vector<Round>> MeasureWorkerPss(int rounds);
absl::StatusOr<std::vector<Round>> MeasureQueuedTaskBytes(int rounds);
absl::StatusOr<std::vector<Round>> MeasureManyWorkers(int rounds);
absl::StatusOr<std::vector<Round>> MeasureManySessions(int rounds);
absl::StatusOr<std::vector<Round>> MeasureEchoMebibyte(int rounds);
absl::StatusOr<std::vector<Round>> MeasureEchoHundredMebibytes(int rounds);
absl::StatusOr<std::vector<Round>> MeasureEchoInPlace(int rounds);
// A row whose program is in python/, by the row's name.
absl::StatusOr<std::vector<Round>> MeasureInPython(const std::string& row, int rounds);

// Nanoseconds of CLOCK_MONOTONIC.
double NowNs();
// The value in the middle; of an even number, the mean of the two.
double Median(std::vector<double> values);

}  // namespace prefork::bench

#endif  // PREFORK_TESTS_BENCH_ROW_H_
