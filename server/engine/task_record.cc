#include "server/engine/task_record.h"

namespace prefork::engine {
namespace {

size_t ReportBytes(const ExitReport& report) {
  return sizeof(report) + report.detail.capacity() + report.stderr_tail.capacity();
}

}  // namespace

void TaskRecord::DropOutput() {
  if (!detail) return;
  for (const auto& output : detail->output) {
    if (output) output->DropKept();
  }
}

size_t TaskRecord::footprint_bytes() const {
  size_t bytes = sizeof(*this) + payload.footprint_bytes();
  if (detail) {
    bytes += sizeof(*detail) + detail->request_id.capacity();
    for (const ExitReport& report : detail->earlier) bytes += ReportBytes(report);
    for (const auto& output : detail->output) bytes += output ? output->footprint_bytes() : 0;
  }
  if (outcome) {
    bytes += sizeof(*outcome) + outcome->value.footprint_bytes() + outcome->error.capacity();
    bytes += outcome->content_type.capacity();
    if (outcome->report) bytes += ReportBytes(*outcome->report);
  }
  return bytes;
}

}  // namespace prefork::engine
