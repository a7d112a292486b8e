#ifndef PREFORK_CLIENT_PYTHON_NATIVE_SEGMENT_BUFFER_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_SEGMENT_BUFFER_H_

#include <nanobind/nanobind.h>

#include <span>
#include <string_view>

namespace prefork::python {

// A payload in shared memory as a read-only Python buffer. Memoryviews and arrays made of it keep it
// alive.
class SegmentBuffer {
 public:
  explicit SegmentBuffer(std::string_view bytes) : bytes_(bytes) {}
  SegmentBuffer(const SegmentBuffer&) = delete;
  SegmentBuffer& operator=(const SegmentBuffer&) = delete;
  ~SegmentBuffer();

  std::string_view bytes() const { return bytes_; }
  // From now on the range, which begins where the bytes begin, is its own; unmapped at its end.
  void Own(std::span<char> range) { owned_ = range; }

  // Makes the class known to Python as SegmentBuffer of `module`.
  static void Bind(nanobind::module_& module);

 private:
  std::string_view bytes_;
  std::span<char> owned_;
};

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_SEGMENT_BUFFER_H_
