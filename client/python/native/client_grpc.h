#ifndef PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_GRPC_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_GRPC_H_

namespace prefork::python {

// Keeps gRPC running, in the form that can be torn down before a fork; see client_grpc.cc. Needs the
// GIL.
class GrpcUse {
 public:
  GrpcUse();
  ~GrpcUse();
  GrpcUse(const GrpcUse&) = delete;
  GrpcUse& operator=(const GrpcUse&) = delete;
};

// Does this process, or the memory that it was forked with, have a running gRPC?
bool GrpcRuns();

// Waits until gRPC's threads have ended. For when nothing uses it any more.
// Needs the GIL, and gives it away meanwhile.
void WaitForGrpcEnd();

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_GRPC_H_
