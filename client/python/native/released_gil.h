#ifndef PREFORK_CLIENT_PYTHON_NATIVE_RELEASED_GIL_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_RELEASED_GIL_H_

#include <Python.h>
#include <unistd.h>

namespace prefork::python {

// Lets other threads run Python as long as it lives, as nanobind's gil_scoped_release does; and bears
// an interpreter that ends meanwhile. Up to Python 3.13 a thread that wants the GIL then is ended by
// pthread_exit, which unwinds its stack; the stack of a C++ extension can't be unwound in this way,
// and the program would abort. Such a thread stops here instead, until the process has ended: what
// Python 3.14 does itself.
class ReleasedGil {
 public:
  ReleasedGil() : state_(PyEval_SaveThread()) {}
  ~ReleasedGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // the unwinding: C code throws nothing else
      while (true) pause();
    }
  }
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

 private:
  PyThreadState* const state_;
};

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_RELEASED_GIL_H_
