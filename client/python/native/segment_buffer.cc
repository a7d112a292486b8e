#include "segment_buffer.h"

#include <sys/mman.h>

namespace prefork::python {
namespace {

namespace nb = nanobind;

int GetBuffer(PyObject* object, Py_buffer* view, int flags) {
  const std::string_view bytes = nb::inst_ptr<SegmentBuffer>(object)->bytes();
  return PyBuffer_FillInfo(view, object, const_cast<char*>(bytes.data()),
                           static_cast<Py_ssize_t>(bytes.size()), /*readonly=*/1, flags);
}

PyType_Slot slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(GetBuffer)}, {0, nullptr}};

}  // namespace

SegmentBuffer::~SegmentBuffer() {
  if (!owned_.empty()) munmap(owned_.data(), owned_.size());
}

void SegmentBuffer::Bind(nb::module_& module) {
  nb::class_<SegmentBuffer>(module, "SegmentBuffer", nb::type_slots(slots),
                            "A task's payload in shared memory.");
}

}  // namespace prefork::python
