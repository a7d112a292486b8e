#include "server/engine/up_record.h"

#include <cmath>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/shm/lane_layout.h"

namespace prefork::engine {
namespace {

using shm::kMaxContentTypeBytes;

// Cuts a record into its fixed part and the texts behind it.
class Reader {
 public:
  Reader(const char* name, std::span<const std::byte> body) : name_(name), rest_(body) {}

  template <typename Fixed>
  bool ReadFixed(Fixed* fixed) {
    if (rest_.size() < sizeof(Fixed)) return false;
    std::memcpy(fixed, rest_.data(), sizeof(Fixed));
    rest_ = rest_.subspan(sizeof(Fixed));
    return true;
  }
  bool ReadText(uint64_t bytes, std::string_view* text) {
    if (bytes > rest_.size()) return false;
    *text = {reinterpret_cast<const char*>(rest_.data()), static_cast<size_t>(bytes)};
    rest_ = rest_.subspan(static_cast<size_t>(bytes));
    return true;
  }
  bool AtEnd() const { return rest_.empty(); }

  absl::Status Nonsense(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, " record: ", what));
  }
  absl::Status WrongLength() const { return Nonsense("its lengths do not add up to its size"); }

 private:
  const char* const name_;
  std::span<const std::byte> rest_;
};

}  // namespace

absl::StatusOr<shm::StartedRecord> ReadStarted(std::span<const std::byte> body) {
  Reader reader("started", body);
  shm::StartedRecord fields;
  if (!reader.ReadFixed(&fields) || !reader.AtEnd()) return reader.WrongLength();
  if (fields.started_ns <= 0) {
    return reader.Nonsense(absl::StrCat("it started at ", fields.started_ns, " ns"));
  }
  return fields;
}

absl::StatusOr<UpFinished> ReadFinished(std::span<const std::byte> body) {
  Reader reader("finished", body);
  UpFinished record;
  if (!reader.ReadFixed(&record.fields)) return reader.WrongLength();
  const shm::FinishedRecord& fields = record.fields;
  const uint64_t inline_bytes = fields.segment_id == 0 ? fields.value_bytes : 0;
  if (!reader.ReadText(fields.error_bytes, &record.error) ||
      !reader.ReadText(fields.content_type_bytes, &record.content_type) ||
      !reader.ReadText(inline_bytes, &record.value) || !reader.AtEnd()) {
    return reader.WrongLength();
  }
  if (fields.outcome < static_cast<uint32_t>(shm::TaskOutcome::kSucceeded) ||
      fields.outcome > static_cast<uint32_t>(shm::TaskOutcome::kCancelled)) {
    return reader.Nonsense(absl::StrCat("unknown outcome ", fields.outcome));
  }
  if (fields.content_type_bytes > kMaxContentTypeBytes) {
    return reader.Nonsense(absl::StrCat("content type of ", fields.content_type_bytes, " bytes"));
  }
  if (fields.started_ns <= 0 || fields.finished_ns < fields.started_ns) {
    return reader.Nonsense(
        absl::StrCat("it ran from ", fields.started_ns, " to ", fields.finished_ns, " ns"));
  }
  if (fields.cpu_ns < -1) return reader.Nonsense(absl::StrCat("CPU time ", fields.cpu_ns, " ns"));
  return record;
}

absl::StatusOr<UpProgress> ReadProgress(std::span<const std::byte> body) {
  Reader reader("progress", body);
  UpProgress record;
  if (!reader.ReadFixed(&record.fields) ||
      !reader.ReadText(record.fields.text_bytes, &record.text) || !reader.AtEnd()) {
    return reader.WrongLength();
  }
  // A function may well divide by zero: that is its own affair, but no number to show.
  if (!std::isfinite(record.fields.done)) record.fields.done = 0;
  if (!std::isfinite(record.fields.total)) record.fields.total = 0;
  return record;
}

absl::StatusOr<UpPartial> ReadPartial(std::span<const std::byte> body) {
  Reader reader("partial", body);
  UpPartial record;
  if (!reader.ReadFixed(&record.fields)) return reader.WrongLength();
  const uint64_t inline_bytes = record.fields.segment_id == 0 ? record.fields.value_bytes : 0;
  if (!reader.ReadText(record.fields.content_type_bytes, &record.content_type) ||
      !reader.ReadText(inline_bytes, &record.value) || !reader.AtEnd()) {
    return reader.WrongLength();
  }
  if (record.fields.content_type_bytes > kMaxContentTypeBytes) {
    return reader.Nonsense(
        absl::StrCat("content type of ", record.fields.content_type_bytes, " bytes"));
  }
  return record;
}

}  // namespace prefork::engine
