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

Comparison Compare(std::string name, double value, double beside) {
  return {.name = std::move(name), .value = beside, .ratio = beside == 0 ? 0 : value / beside};
}

// The right part of a line of the table.
std::string ToColumns(const Comparison& comparison) {
  return absl::StrFormat("%11s %6s  %s\n", Readable(comparison.value),
                         comparison.value == 0 ? "-" : absl::StrFormat("%.3g", comparison.ratio),
                         comparison.name);
}

std::string ToJson(const Comparison& comparison) {
  return absl::StrFormat(R"("reference": "%s", "reference_value": %.6g, "ratio": %.4g)",
                         comparison.name, comparison.value, comparison.ratio);
}

constexpr int kLeftWidth = 70;  // of what stands left of the reference

}  // namespace

Summary Summarize(const Row& row, const std::vector<Round>& rounds) {
  std::vector<double> values;
  std::vector<double> references;
  std::vector<std::vector<double>> others;
  for (const Round& round : rounds) {
    values.push_back(round.value);
    references.push_back(round.reference);
    others.resize(std::max(others.size(), round.others.size()));
    for (size_t i = 0; i < round.others.size(); ++i) others[i].push_back(round.others[i].value);
  }
  Summary summary{.row = row, .value = Median(values)};
  summary.reference = Compare(Text(row.reference), summary.value, Median(references));
  for (size_t i = 0; i < others.size(); ++i) {
    const double median = Median(std::move(others[i]));
    summary.others.push_back(Compare(rounds.front().others[i].name, summary.value, median));
  }
  if (!values.empty()) {
    summary.min = *std::min_element(values.begin(), values.end());
    summary.max = *std::max_element(values.begin(), values.end());
  }
  return summary;
}

std::string TableHeader() {
  return absl::StrFormat("%-20s %11s %-10s %11s %11s   %11s %6s  %s\n", "name", "median", "unit",
                         "min", "max", "reference", "ratio", "held against");
}

std::string ToTableLines(const Summary& summary) {
  std::string lines =
      absl::StrFormat("%-20s %11s %-10s %11s %11s   %s", Text(summary.row.name),
                      Readable(summary.value), Text(summary.row.unit), Readable(summary.min),
                      Readable(summary.max), ToColumns(summary.reference));
  for (const Comparison& other : summary.others) {
    absl::StrAppendFormat(&lines, "%*s%s", kLeftWidth, "", ToColumns(other));
  }
  return lines;
}

std::string ToJson(const Summary& summary) {
  std::string others;
  for (const Comparison& other : summary.others) {
    absl::StrAppendFormat(&others, "%s{%s}", others.empty() ? "" : ", ", ToJson(other));
  }
  if (!others.empty()) others = absl::StrFormat(", \"others\": [%s]", others);
  return absl::StrFormat(
      "{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", %s, \"min\": %.6g, \"max\": %.6g%s}\n",
      Text(summary.row.name), summary.value, Text(summary.row.unit), ToJson(summary.reference),
      summary.min, summary.max, others);
}

}  // namespace prefork::bench
