#include "client/cli/table.h"

#include <algorithm>
#include <cstddef>

#include "common/os/check.h"

namespace prefork::cli {
namespace {

constexpr char kGap[] = "  ";

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

size_t Width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuation(c); }));
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return text;
}

void AppendRow(const std::vector<Table::Cell>& cells, const std::vector<Table::Column>& columns,
               const std::vector<size_t>& widths, const Style& style, std::string* out) {
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string text = OneLine(cells[i].text);
    const std::string padding(widths[i] - Width(text), ' ');
    const bool last = i + 1 == cells.size();
    if (i > 0) out->append(kGap);
    if (columns[i].right) out->append(padding);
    out->append(style.Paint(cells[i].color, text));
    if (!columns[i].right && !last) out->append(padding);
  }
  while (!out->empty() && out->back() == ' ') out->pop_back();
  out->push_back('\n');
}

}  // namespace

std::string Table::ToText(const Style& style) const {
  std::vector<Cell> header;
  std::vector<size_t> widths;
  for (const Column& column : columns_) {
    header.emplace_back(column.title, Color::kBold);
    widths.push_back(Width(column.title));
  }
  for (const auto& row : rows_) {
    PREFORK_CHECK(row.size() == columns_.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i].text));
  }
  std::string out;
  AppendRow(header, columns_, widths, style, &out);
  for (const auto& row : rows_) AppendRow(row, columns_, widths, style, &out);
  return out;
}

}  // namespace prefork::cli
