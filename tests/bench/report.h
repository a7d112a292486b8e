#ifndef PREFORK_TESTS_BENCH_REPORT_H_
#define PREFORK_TESTS_BENCH_REPORT_H_

#include <string>
#include <vector>

#include "tests/bench/row.h"

namespace prefork::bench {

// The median of the rounds, and how far they were apart.
struct Summary {
  Row row;
  double value = 0;
  double min = 0;
  double max = 0;
  double reference_value = 0;
  // value / reference_value; 0 when the reference is 0.
  double ratio = 0;
};
Summary Summarize(const Row& row, const std::vector<Round>& rounds);

std::string TableHeader();
std::string ToTableLine(const Summary& summary);
std::string ToJson(const Summary& summary);

}  // namespace prefork::bench

#endif  // PREFORK_TESTS_BENCH_REPORT_H_
