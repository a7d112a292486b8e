#include "client/python/native/client_segment.h"

#include <cstdint>
#include <cstring>
#include <deque>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "client/python/native/borrowed_bytes.h"
#include "client/python/native/client_errors.h"
#include "client/python/native/lease_budget.h"
#include "client/python/native/released_gil.h"

namespace prefork::python {
namespace {

namespace nb = nanobind;

int GetSegmentBuffer(PyObject* self, Py_buffer* view, int flags) {
  const std::span<std::byte> bytes = nb::inst_ptr<PySegment>(self)->segment->bytes();
  return PyBuffer_FillInfo(view, self, bytes.data(), static_cast<Py_ssize_t>(bytes.size()),
                           /*readonly=*/0, flags);
}

PyType_Slot segment_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(GetSegmentBuffer)},
                               {0, nullptr}};

class BorrowedParts {
 public:
  explicit BorrowedParts(const nb::sequence& parts) {
    for (nb::handle part : parts) size_ += parts_.emplace_back(part).bytes().size();
  }
  size_t size() const { return size_; }
  void CopyTo(std::byte* place) const {
    for (const BorrowedBytes& part : parts_) {
      const std::string_view bytes = part.bytes();
      if (bytes.empty()) continue;
      std::memcpy(place, bytes.data(), bytes.size());
      place += bytes.size();
    }
  }

 private:
  std::deque<BorrowedBytes> parts_;
  size_t size_ = 0;
};

void Write(const PySegment& self, size_t offset, const nb::sequence& parts) {
  const BorrowedParts borrowed(parts);
  const size_t size = self.segment->size();
  if (offset > size || borrowed.size() > size - offset) {
    throw nb::value_error("the parts do not fit into the segment");
  }
  std::byte* const place = self.segment->bytes().data() + offset;
  const ReleasedGil released;
  borrowed.CopyTo(place);
}

uint64_t AddressOf(nb::handle buffer) {
  return reinterpret_cast<uintptr_t>(BorrowedBytes(buffer).bytes().data());
}

}  // namespace

PySegment AllocateSegment(client::Client& client, size_t size_bytes) {
  std::optional<absl::StatusOr<std::shared_ptr<client::Segment>>> segment;
  {
    const ReleasedGil released;
    segment = client.AllocateSegment(size_bytes);
  }
  return {ValueOrRaise(*std::move(segment))};
}

std::optional<PySegment> GatherInSegment(client::Client& client, const nb::sequence& parts) {
  const BorrowedParts borrowed(parts);
  const ReleasedGil released;
  std::shared_ptr<client::Segment> segment = AllocateWithinBudget(client, borrowed.size());
  if (segment == nullptr) return std::nullopt;
  borrowed.CopyTo(segment->bytes().data());
  return PySegment{std::move(segment)};
}

void DefineSegment(nb::module_& module) {
  module.def("address_of", &AddressOf);
  nb::class_<PySegment>(module, "Segment", nb::type_slots(segment_slots),
                        nb::is_weak_referenceable())
      .def("__len__", [](const PySegment& self) { return self.segment->size(); })
      .def_prop_ro("shared", [](const PySegment& self) { return self.segment->shared(); })
      .def("write", &Write);
  nb::class_<PyPayload>(module, "Payload")
      .def("__init__", [](PyPayload* self, const PySegment& segment, size_t offset, size_t size) {
        new (self) PyPayload{{segment.segment, offset, size}};
      });
}

}  // namespace prefork::python
