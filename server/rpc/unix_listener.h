#ifndef PREFORK_SERVER_RPC_UNIX_LISTENER_H_
#define PREFORK_SERVER_RPC_UNIX_LISTENER_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"

namespace prefork::rpc {

struct UnixListenerOptions {
  std::string path;
  mode_t mode = 0600;
  std::string group{};  // name or number; empty: unchanged
  int type = SOCK_STREAM;
};

// A listening Unix socket and the right to its path, which a lock file beside it stands for. The
// design note is in unix_listener.cc. Movable; the destructor removes both files if they are ours.
class UnixListener {
 public:
  // Makes the path's last directory if it is missing. ALREADY_EXISTS when a daemon answers on the path
  // (with its pid), FAILED_PRECONDITION when something else is there; else the errno.
  static absl::StatusOr<UnixListener> Create(const UnixListenerOptions& options);

  // A further socket of the daemon, whose path is that of another listener with something at its end:
  // who has the one's lock has the right to this, too. Errors as above, but for the lock.
  static absl::StatusOr<UnixListener> CreateBeside(const UnixListenerOptions& options);

  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) noexcept = delete;
  ~UnixListener();

  int fd() const { return socket_.get(); }
  const std::string& path() const { return path_; }

 private:
  UnixListener(std::string path, int type) : path_(std::move(path)), type_(type) {}
  absl::Status Lock();
  absl::Status RemoveStaleSocket();
  absl::Status Bind(const UnixListenerOptions& options);

  std::string path_;  // empty: moved from
  int type_;
  os::Fd lock_;
  os::Fd socket_;
  // What our bind made; another file under the path is not ours to remove.
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_UNIX_LISTENER_H_
