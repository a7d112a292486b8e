// How one of two daemons that start on the same path wins, and how the other knows.
//
//   PATH.pid    flock(2)ed by the daemon for its life; holds its pid. The kernel drops the lock with
//               the process, so a lock is never stale.
//   PATH        the socket, and others beside it. Only the holder of the lock touches it: connects to see whether it is
//               alive (somebody may have deleted the lock file), removes it if nobody answers, binds.
//
// The holder removes the lock file as its last act, still holding it. Whoever opened the file before that
// gets the lock of a file that has no name any more: so after flock the name is checked to lead to the
// same inode, else the game begins again.
//
// The socket is made with mode 0600 and opened up afterwards, so there is no moment in which more
// may connect than configured.
#include "server/rpc/unix_listener.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"

namespace prefork::rpc {
namespace {

std::string LockPath(const std::string& path) { return path + ".pid"; }

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the socket path '", path, "' has ", path.size(), " bytes, the system takes ",
                     sizeof(address.sun_path) - 1, "; choose a shorter one with --socket"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// A directory that others could replace our socket in would give them our clients.
absl::Status PrepareDirectory(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return absl::OkStatus();
  const std::string directory = path.substr(0, slash);
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return os::ErrnoStatus(errno, absl::StrCat("mkdir ", directory, " for the socket"));
  }
  struct stat info;
  if (stat(directory.c_str(), &info) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("stat ", directory));
  }
  if (info.st_uid != geteuid() && info.st_uid != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the directory ", directory, " of the socket belongs to user ", info.st_uid,
                     ", who could replace it; choose another path with --socket"));
  }
  return absl::OkStatus();
}

std::string ReadPid(int fd) {
  char text[32];
  const ssize_t size = pread(fd, text, sizeof(text), 0);
  pid_t pid = 0;
  if (size <= 0 || !absl::SimpleAtoi(absl::string_view(text, size), &pid)) return "";
  return absl::StrCat(" (pid ", pid, ")");
}

absl::Status InUse(const std::string& path, const std::string& pid) {
  return absl::AlreadyExistsError(absl::StrCat("another preforkd", pid, " answers on ", path,
                                               "; stop it, or choose another path with --socket"));
}

absl::StatusOr<gid_t> FindGroup(const std::string& group) {
  gid_t gid;
  if (absl::SimpleAtoi(group, &gid)) return gid;
  std::vector<char> buffer(1 << 16);
  struct group entry;
  struct group* found = nullptr;
  getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("daemon.socket_group: there is no group '", group, "' on this system"));
  }
  return found->gr_gid;
}

}  // namespace

absl::StatusOr<UnixListener> UnixListener::Create(const UnixListenerOptions& options) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(options.path);
  if (!address.ok()) return address.status();
  absl::Status done = PrepareDirectory(options.path);
  UnixListener listener(options.path, options.type);
  if (done.ok()) done = listener.Lock();
  if (done.ok()) done = listener.RemoveStaleSocket();
  if (done.ok()) done = listener.Bind(options);
  if (!done.ok()) return done;
  return listener;
}

absl::StatusOr<UnixListener> UnixListener::CreateBeside(const UnixListenerOptions& options) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(options.path);
  if (!address.ok()) return address.status();
  UnixListener listener(options.path, options.type);
  absl::Status done = listener.RemoveStaleSocket();
  if (done.ok()) done = listener.Bind(options);
  if (!done.ok()) return done;
  return listener;
}

absl::Status UnixListener::Lock() {
  const std::string lock_path = LockPath(path_);
  while (true) {
    os::Fd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.valid()) return os::ErrnoStatus(errno, absl::StrCat("open ", lock_path));
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return InUse(path_, ReadPid(lock.get()));
      return os::ErrnoStatus(errno, absl::StrCat("flock ", lock_path));
    }
    struct stat held;
    struct stat named;
    if (fstat(lock.get(), &held) != 0) return os::ErrnoStatus(errno, "fstat of the lock file");
    if (stat(lock_path.c_str(), &named) != 0 || held.st_ino != named.st_ino ||
        held.st_dev != named.st_dev) {
      continue;
    }
    const std::string pid = absl::StrCat(getpid(), "\n");
    if (ftruncate(lock.get(), 0) != 0 ||
        pwrite(lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
      return os::ErrnoStatus(errno, absl::StrCat("write ", lock_path));
    }
    lock_ = std::move(lock);
    return absl::OkStatus();
  }
}

absl::Status UnixListener::RemoveStaleSocket() {
  struct stat info;
  if (lstat(path_.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return os::ErrnoStatus(errno, absl::StrCat("lstat ", path_));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_,
                     " exists and is no socket; remove it, or choose another path with "
                     "--socket"));
  }
  const absl::StatusOr<sockaddr_un> address = AddressOf(path_);
  const os::Fd probe(socket(AF_UNIX, type_ | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return os::ErrnoStatus(errno, "socket");
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) == 0) {
    ucred peer = {};
    socklen_t size = sizeof(peer);
    const bool known = getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    return InUse(path_, known ? absl::StrCat(" (pid ", peer.pid, ")") : "");
  }
  if (errno == EAGAIN) return InUse(path_, "");  // its backlog is full
  if (errno != ECONNREFUSED) {
    return os::ErrnoStatus(errno, absl::StrCat("connect ", path_, " to see if it is in use"));
  }
  if (unlink(path_.c_str()) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("unlink the stale socket ", path_));
  }
  return absl::OkStatus();
}

absl::Status UnixListener::Bind(const UnixListenerOptions& options) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path_);
  os::Fd listening(socket(AF_UNIX, type_ | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listening.valid()) return os::ErrnoStatus(errno, "socket");
  // The file that bind makes inherits the socket's mode.
  if (fchmod(listening.get(), 0600) != 0) return os::ErrnoStatus(errno, "fchmod of the socket");
  if (bind(listening.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("bind ", path_));
  }
  struct stat info;
  if (lstat(path_.c_str(), &info) != 0)
    return os::ErrnoStatus(errno, absl::StrCat("lstat ", path_));
  device_ = info.st_dev;
  inode_ = info.st_ino;
  socket_ = std::move(listening);
  if (listen(socket_.get(), SOMAXCONN) != 0) return os::ErrnoStatus(errno, "listen");
  if (!options.group.empty()) {
    const absl::StatusOr<gid_t> gid = FindGroup(options.group);
    if (!gid.ok()) return gid.status();
    if (chown(path_.c_str(), -1, *gid) != 0) {
      return os::ErrnoStatus(errno, absl::StrCat("chown ", path_, " to group ", options.group));
    }
  }
  if (chmod(path_.c_str(), options.mode) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("chmod ", path_));
  }
  return absl::OkStatus();
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      type_(other.type_),
      lock_(std::move(other.lock_)),
      socket_(std::move(other.socket_)),
      device_(other.device_),
      inode_(other.inode_) {}

UnixListener::~UnixListener() {
  if (path_.empty()) return;
  struct stat info;
  if (socket_.valid() && lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ &&
      info.st_ino == inode_) {
    unlink(path_.c_str());
  }
  if (lock_.valid()) unlink(LockPath(path_).c_str());
}

}  // namespace prefork::rpc
