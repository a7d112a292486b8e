#ifndef PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_SEGMENT_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_SEGMENT_H_

#include <nanobind/nanobind.h>

#include <cstddef>
#include <memory>
#include <optional>

#include "prefork/client.h"
#include "prefork/segment.h"

// Memory that is shared with workers, in Python's hands. Everything here needs the GIL, and gives it
// away while it waits or copies.
namespace prefork::python {

// Lends its bytes for reading and writing by the buffer protocol: what is made of it keeps it.
struct PySegment {
  std::shared_ptr<client::Segment> segment;
};

// Raises QueueFull when the daemon has no room.
PySegment AllocateSegment(client::Client& client, size_t size_bytes);

// A segment with the bytes of all `parts` one after the other; nothing when there is none to be had for
// a payload. See lease_budget.h.
std::optional<PySegment> GatherInSegment(client::Client& client, const nanobind::sequence& parts);

// Where the payload of a task lies.
struct PyPayload {
  client::SegmentSlice slice;
};

void DefineSegment(nanobind::module_& module);

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_SEGMENT_H_
