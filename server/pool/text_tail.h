#ifndef PREFORK_SERVER_POOL_TEXT_TAIL_H_
#define PREFORK_SERVER_POOL_TEXT_TAIL_H_

#include <string>
#include <string_view>

namespace prefork::pool {

// Keeps the end of a stream of text, for messages that say why a process failed.
class TextTail {
 public:
  static constexpr size_t kMaxBytes = 2 << 10;

  void Append(std::string_view text) {
    if (text.size() > kMaxBytes) text.remove_prefix(text.size() - kMaxBytes);
    text_.append(text);
    if (text_.size() > kMaxBytes) text_.erase(0, text_.size() - kMaxBytes);
  }
  // Without white space at the end.
  std::string text() const {
    const size_t last = text_.find_last_not_of(" \t\r\n");
    return last == std::string::npos ? "" : text_.substr(0, last + 1);
  }
  void Clear() { text_.clear(); }

 private:
  std::string text_;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_TEXT_TAIL_H_
