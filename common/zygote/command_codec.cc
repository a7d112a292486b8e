// The payload of a task of the command runtime. The daemon encodes it from the API's Command, the
// worker decodes it. Little-endian, no padding, no alignment:
//
//   u32 version (1)
//   u32 count, then per argument:      u32 length, bytes
//   u32 count, then per variable:      u32 length, name, u32 length, value
//   u32 length, working directory
//   u32 count, then per limit:         u32 RLIMIT_*, u64 value
//   u64 length, standard input
//
// and nothing after it. Counts are checked against the bytes that are left before anything is
// reserved, so a lying count costs nothing.

#include "common/zygote/command_codec.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace prefork::zygote {
namespace {

constexpr uint32_t kVersion = 1;

template <typename Integer>
void AppendInteger(std::string& out, Integer value) {
  char bytes[sizeof(value)];
  std::memcpy(bytes, &value, sizeof(value));
  out.append(bytes, sizeof(value));
}

void AppendText(std::string& out, std::string_view text) {
  AppendInteger(out, static_cast<uint32_t>(text.size()));
  out.append(text);
}

absl::Status Malformed(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("command block: ", field, ": ", what));
}

// Takes values off the front of a byte string; after the first failure it only repeats it.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <typename Integer>
  Integer ReadInteger(absl::string_view field) {
    Integer value = 0;
    if (!Need(field, sizeof(value))) return 0;
    std::memcpy(&value, rest_.data(), sizeof(value));
    rest_.remove_prefix(sizeof(value));
    return value;
  }

  std::string ReadBytes(absl::string_view field, uint64_t size) {
    if (!Need(field, size)) return {};
    std::string bytes(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return bytes;
  }

  // A string for execve: no NUL inside.
  std::string ReadText(absl::string_view field) {
    std::string text = ReadBytes(field, ReadInteger<uint32_t>(field));
    if (absl::StrContains(text, '\0')) Fail(Malformed(field, "contains a NUL byte"));
    return text;
  }

  // How many elements follow, each at least `min_bytes` long.
  uint32_t ReadCount(absl::string_view field, size_t min_bytes) {
    const uint32_t count = ReadInteger<uint32_t>(field);
    return Need(field, uint64_t{count} * min_bytes) ? count : 0;
  }

  void Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  bool ok() const { return status_.ok(); }
  size_t remaining() const { return rest_.size(); }
  const absl::Status& status() const { return status_; }

 private:
  bool Need(absl::string_view field, uint64_t size) {
    if (ok() && size > rest_.size()) {
      Fail(Malformed(field, absl::StrCat("needs ", size, " bytes, ", rest_.size(), " are left")));
    }
    return ok();
  }

  std::string_view rest_;
  absl::Status status_;
};

}  // namespace

std::string EncodeCommand(const CommandBlock& command) {
  std::string out;
  AppendInteger(out, kVersion);
  AppendInteger(out, static_cast<uint32_t>(command.argv.size()));
  for (const std::string& argument : command.argv) AppendText(out, argument);
  AppendInteger(out, static_cast<uint32_t>(command.env.size()));
  for (const auto& [name, value] : command.env) {
    AppendText(out, name);
    AppendText(out, value);
  }
  AppendText(out, command.cwd);
  AppendInteger(out, static_cast<uint32_t>(command.limits.size()));
  for (const CommandBlock::Limit& limit : command.limits) {
    AppendInteger(out, limit.resource);
    AppendInteger(out, limit.value);
  }
  AppendInteger(out, static_cast<uint64_t>(command.stdin_bytes.size()));
  out.append(command.stdin_bytes);
  return out;
}

absl::StatusOr<CommandBlock> DecodeCommand(std::string_view bytes) {
  Reader reader(bytes);
  const uint32_t version = reader.ReadInteger<uint32_t>("version");
  if (reader.ok() && version != kVersion) {
    return Malformed("version", absl::StrCat(version, " is not ", kVersion,
                                             "; daemon and worker are of different releases"));
  }
  CommandBlock command;
  const uint32_t arguments = reader.ReadCount("argv", sizeof(uint32_t));
  if (reader.ok() && arguments == 0) return Malformed("argv", "empty; name a program to run");
  for (uint32_t i = 0; i < arguments && reader.ok(); ++i) {
    command.argv.push_back(reader.ReadText("argv"));
  }
  if (reader.ok() && command.argv[0].empty()) {
    return Malformed("argv", "the program's name is empty");
  }
  const uint32_t variables = reader.ReadCount("env", 2 * sizeof(uint32_t));
  for (uint32_t i = 0; i < variables && reader.ok(); ++i) {
    std::string name = reader.ReadText("env");
    std::string value = reader.ReadText("env");
    if (reader.ok() && (name.empty() || absl::StrContains(name, '='))) {
      return Malformed("env", absl::StrCat("'", name, "' can't be the name of a variable"));
    }
    command.env.emplace_back(std::move(name), std::move(value));
  }
  command.cwd = reader.ReadText("cwd");
  const uint32_t limits = reader.ReadCount("limits", sizeof(uint32_t) + sizeof(uint64_t));
  for (uint32_t i = 0; i < limits && reader.ok(); ++i) {
    const uint32_t resource = reader.ReadInteger<uint32_t>("limits");
    const uint64_t value = reader.ReadInteger<uint64_t>("limits");
    command.limits.push_back({resource, value});
  }
  command.stdin_bytes = reader.ReadBytes("stdin", reader.ReadInteger<uint64_t>("stdin"));
  if (!reader.ok()) return reader.status();
  if (reader.remaining() != 0) {
    return Malformed("end", absl::StrCat(reader.remaining(), " bytes too many"));
  }
  return command;
}

}  // namespace prefork::zygote
