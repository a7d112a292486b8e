#ifndef PREFORK_CLIENT_PYTHON_NATIVE_BORROWED_BYTES_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_BORROWED_BYTES_H_

#include <nanobind/nanobind.h>

#include <string_view>

namespace prefork::python {

// The bytes of any object with the buffer protocol, for as long as this lives. Raises TypeError for
// others. Needs the GIL, except that `bytes()` may be read without.
class BorrowedBytes {
 public:
  explicit BorrowedBytes(nanobind::handle object);
  ~BorrowedBytes();
  BorrowedBytes(const BorrowedBytes&) = delete;
  BorrowedBytes& operator=(const BorrowedBytes&) = delete;

  std::string_view bytes() const { return bytes_; }

 private:
  std::string_view bytes_;
  Py_buffer view_ = {};  // of what is not `bytes`
};

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_BORROWED_BYTES_H_
