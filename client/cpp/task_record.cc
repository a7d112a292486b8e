#include "client/cpp/task_record.h"

#include <new>

#include "client/cpp/session.h"
#include "common/os/check.h"

namespace prefork::client::internal {

void RecordPtr::Retain(TaskRecord* record) {
  record->references.fetch_add(1, std::memory_order_relaxed);
}

void RecordPtr::Release(TaskRecord* record) {
  if (record->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  RecordBlock* const block = record->block;
  record->~TaskRecord();
  block->Drop(1);
}

RecordPtr RecordBlock::Make(bool detached, SubmitOptions&& options) {
  PREFORK_CHECK(!full());
  std::byte* const place = room_.data() + made_++ * sizeof(TaskRecord);
  return RecordPtr(new (place) TaskRecord(this, detached, std::move(options)));
}

void RecordBlock::Seal() {
  if (!full()) Drop(kRecords - std::exchange(made_, kRecords));
}

void RecordBlock::Drop(uint32_t records) {
  if (left_.fetch_sub(records, std::memory_order_acq_rel) == records) delete this;
}

}  // namespace prefork::client::internal
