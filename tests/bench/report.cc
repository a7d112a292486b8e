#include "tests/bench/report.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace prefork::bench {
namespace {

// Three to four significant digits; whole numbers from a thousand on.
std::string Readable(double number) {
  if (number >= 1000) return absl::StrFormat("%.0f", number);
  return absl::StrFormat("%.4g", number);
}

std::string Text(std::string_view text) { return std::string(text); }

}  // namespace

Summary Summarize(const Row& row, const std::vector<Round>& rounds) {
  std::vector<double> values;
  std::vector<double> references;
  for (const Round& round : rounds) {
    values.push_back(round.value);
    references.push_back(round.reference);
  }
  Summary summary{.row = row, .value = Median(values), .reference_value = Median(references)};
  if (!values.empty()) {
    summary.min = *std::min_element(values.begin(), values.end());
    summary.max = *std::max_element(values.begin(), values.end());
  }
  if (summary.reference_value != 0) summary.ratio = summary.value / summary.reference_value;
  return summary;
}

std::string TableHeader() {
  return absl::StrFormat("%-19s %11s %-10s %11s %11s   %11s %6s  %s\n", "name", "median", "unit",
                         "min", "max", "reference", "ratio", "held against");
}

std::string ToTableLine(const Summary& summary) {
  return absl::StrFormat(
      "%-19s %11s %-10s %11s %11s   %11s %6s  %s\n", Text(summary.row.name),
      Readable(summary.value), Text(summary.row.unit), Readable(summary.min), Readable(summary.max),
      Readable(summary.reference_value),
      summary.reference_value == 0 ? "-" : absl::StrFormat("%.3g", summary.ratio),
      Text(summary.row.reference));
}

std::string ToJson(const Summary& summary) {
  return absl::StrFormat(
      "{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"reference\": \"%s\", "
      "\"reference_value\": %.6g, \"ratio\": %.4g, \"min\": %.6g, \"max\": %.6g}\n",
      Text(summary.row.name), summary.value, Text(summary.row.unit), Text(summary.row.reference),
      summary.reference_value, summary.ratio, summary.min, summary.max);
}

}  // namespace prefork::bench
