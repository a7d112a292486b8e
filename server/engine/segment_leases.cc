// The clients' side of a segment's life:
//
//     Add ------> leased, count 1 --Add--> count 2 ...    granted once more: the same value again
//                     |  <--Release--
//                 Release, or Close: the reference goes
//
// The memory is free when no task and no worker has a reference either. References are dropped after
// the mutex is released: the last one gives memory back to the pool, and maybe to the kernel.
//
// The mechanism as a whole, and who is trusted with what: common/segments/message.cc.
#include "server/engine/segment_leases.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/errors.h"

namespace prefork::engine {
namespace {

absl::Status Full(const std::string& what, size_t limit, const char* key) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kSegmentsFull,
                   absl::StrCat(what, ", ", limit, " are allowed (", key,
                                "); release some, or raise the limit"));
}

absl::Status HolderGone() { return absl::NotFoundError("the segment client is gone"); }

absl::Status NotLeased(uint64_t segment_id) {
  return MakeError(absl::StatusCode::kNotFound, reason::kSegmentNotFound,
                   absl::StrCat("segment ", segment_id, " is not leased to this client"),
                   absl::StrCat(segment_id));
}

}  // namespace

absl::StatusOr<segments::Token> SegmentLeases::Open(uint32_t uid) {
  segments::Token token;
  if (getrandom(token.data(), token.size(), 0) != static_cast<ssize_t>(token.size())) {
    return absl::UnavailableError("getrandom gave no token for a segment client");
  }
  absl::MutexLock lock(&mutex_);
  holders_[Key(token)].uid = uid;
  return token;
}

void SegmentLeases::Close(const segments::Token& token) {
  Holder ended;
  absl::MutexLock lock(&mutex_);
  const auto found = holders_.find(Key(token));
  if (found == holders_.end()) return;
  ended = std::move(found->second);
  leased_bytes_ -= ended.bytes;
  holders_.erase(found);
}

absl::Status SegmentLeases::CheckRoom(const segments::Token& token, size_t size_bytes) const {
  absl::MutexLock lock(&mutex_);
  const auto found = holders_.find(Key(token));
  if (found == holders_.end()) return HolderGone();
  return CheckRoomLocked(found->second, size_bytes);
}

absl::Status SegmentLeases::CheckRoomLocked(const Holder& holder, size_t size_bytes) const {
  if (holder.leases.size() >= limits_.max_segments) {
    return Full(absl::StrCat("this client has ", holder.leases.size(), " segments"),
                limits_.max_segments, "limits.client_segments");
  }
  if (size_bytes > limits_.max_bytes - std::min(limits_.max_bytes, holder.bytes)) {
    return Full(absl::StrCat("this client has ", holder.bytes, " bytes of segments and wants ",
                             size_bytes, " more"),
                limits_.max_bytes, "limits.client_segment_bytes");
  }
  if (size_bytes > limits_.max_total_bytes - std::min(limits_.max_total_bytes, leased_bytes_)) {
    return Full(absl::StrCat("all clients have ", leased_bytes_, " bytes of segments; with ",
                             size_bytes, " more it would be too many"),
                limits_.max_total_bytes, "limits.clients_segment_bytes");
  }
  return absl::OkStatus();
}

absl::Status SegmentLeases::Add(const segments::Token& token, shm::SegmentRef segment) {
  absl::MutexLock lock(&mutex_);
  const auto found = holders_.find(Key(token));
  if (found == holders_.end()) return HolderGone();
  Holder& holder = found->second;
  if (const auto held = holder.leases.find(segment->id()); held != holder.leases.end()) {
    ++held->second.count;
    return absl::OkStatus();
  }
  const size_t bytes = segment->capacity_bytes();
  if (absl::Status room = CheckRoomLocked(holder, bytes); !room.ok()) return room;
  holder.bytes += bytes;
  leased_bytes_ += bytes;
  const uint64_t id = segment->id();
  holder.leases.emplace(id, Lease{std::move(segment), 1});
  return absl::OkStatus();
}

absl::Status SegmentLeases::Release(const segments::Token& token, uint64_t segment_id) {
  shm::SegmentRef last;
  absl::MutexLock lock(&mutex_);
  const auto found = holders_.find(Key(token));
  if (found == holders_.end()) return NotLeased(segment_id);
  Holder& holder = found->second;
  const auto held = holder.leases.find(segment_id);
  if (held == holder.leases.end()) return NotLeased(segment_id);
  if (--held->second.count > 0) return absl::OkStatus();
  last = std::move(held->second.segment);
  holder.bytes -= last->capacity_bytes();
  leased_bytes_ -= last->capacity_bytes();
  holder.leases.erase(held);
  return absl::OkStatus();
}

absl::StatusOr<shm::SegmentRef> SegmentLeases::Find(std::string_view token, uint32_t uid,
                                                    uint64_t segment_id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = holders_.find(absl::string_view(token.data(), token.size()));
  if (found == holders_.end() || found->second.uid != uid) return NotLeased(segment_id);
  const auto held = found->second.leases.find(segment_id);
  if (held == found->second.leases.end()) return NotLeased(segment_id);
  return held->second.segment;
}

size_t SegmentLeases::holders() const {
  absl::MutexLock lock(&mutex_);
  return holders_.size();
}

size_t SegmentLeases::leased_bytes() const {
  absl::MutexLock lock(&mutex_);
  return leased_bytes_;
}

}  // namespace prefork::engine
