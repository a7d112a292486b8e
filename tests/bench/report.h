#ifndef PREFORK_TESTS_BENCH_REPORT_H_
#define PREFORK_TESTS_BENCH_REPORT_H_

#include <string>
#include <vector>

#include "tests/bench/row.h"

namespace prefork::bench {

// What a row is held against.
struct Comparison {
  std::string name{};
  double value = 0;  // the median
  double ratio = 0;  // of the row's value to it; 0 when it is 0
};

// The median of the rounds, and how far they were apart.
struct Summary {
  Row row;
  double value = 0;
  double min = 0;
  double max = 0;
  Comparison reference{};
  std::vector<Comparison> others{};
};
Summary Summarize(const Row& row, const std::vector<Round>& rounds);

std::string TableHeader();
// A line, and one more for each of the others.
std::string ToTableLines(const Summary& summary);
std::string ToJson(const Summary& summary);

}  // namespace prefork::bench

#endif  // PREFORK_TESTS_BENCH_REPORT_H_
