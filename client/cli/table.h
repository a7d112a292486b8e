#ifndef PREFORK_CLIENT_CLI_TABLE_H_
#define PREFORK_CLIENT_CLI_TABLE_H_

#include <string>
#include <vector>

#include "client/cli/style.h"

namespace prefork::cli {

// Rows of text in aligned columns under a header. Wide characters count as one column each.
class Table {
 public:
  struct Column {
    std::string title;
    bool right = false;
  };
  struct Cell {
    Cell(std::string text) : text(std::move(text)) {}  // NOLINT(google-explicit-constructor)
    Cell(const char* text) : text(text) {}             // NOLINT(google-explicit-constructor)
    Cell(std::string text, Color color) : text(std::move(text)), color(color) {}
    std::string text;
    Color color = Color::kNone;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // REQUIRES: as many cells as columns.
  void AddRow(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }

  // Lines end without trailing blanks. Line breaks and control characters in cells become blanks.
  std::string ToText(const Style& style) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_TABLE_H_
