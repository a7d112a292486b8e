// Who may come in: users on the Unix socket by what the kernel says of them, hosts by certificates.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/os/fd.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "prefork/v1/pool_service.grpc.pb.h"
#include "prefork/v1/task_service.grpc.pb.h"
#include "tests/integration/cli_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/wait_for.h"

namespace prefork::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kCommandPool[] = "[pool.default]\nruntime = \"command\"\nsize = 1\n";
constexpr unsigned kNobody = 65534;

class StrangerTest : public ::testing::Test {
 protected:
  // A daemon whose socket everybody can reach, for the users listed.
  void Start(const std::string& users) {
    auto daemon =
        Daemon::Start({.config = absl::StrCat("[daemon]\nsocket_mode = \"0666\"\n",
                                              "allow_users = [", users, "]\n", kCommandPool)});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    ASSERT_EQ(chmod(daemon_->directory().c_str(), 0755), 0);
  }
  CliRun::Result RunAsNobody(std::vector<std::string> verb) const {
    const std::string id = absl::StrCat(kNobody);
    std::vector<std::string> argv = {"setpriv",    "--reuid",   id,
                                     "--regid",    id,          "--clear-groups",
                                     CliProgram(), "--address", daemon_->address()};
    argv.insert(argv.end(), verb.begin(), verb.end());
    return CliRun(argv, "", {}).Finish();
  }

  std::unique_ptr<Daemon> daemon_;
};

TEST_F(StrangerTest, IsRefusedByWhatTheKernelSaysOfHim) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  Start("\"12345\"");
  const CliRun::Result result = RunAsNobody({"status"});
  EXPECT_EQ(result.code, 3) << result.out;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_TRUE(WaitFor([&] {
    return absl::StrContains(daemon_->Log(), absl::StrCat("a connection of user ", kNobody));
  })) << daemon_->Log();
  EXPECT_THAT(daemon_->Log(), HasSubstr("is refused: not in daemon.allow_users"));
  const CliRun::Result own =
      CliRun({CliProgram(), "--address", daemon_->address(), "status"}, "", {}).Finish();
  EXPECT_EQ(own.code, 0) << own.err;
}

TEST_F(StrangerTest, WhoIsListedMayRunTasksButNotSteerPools) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  Start(absl::StrCat("\"", kNobody, "\""));
  const CliRun::Result task = RunAsNobody({"run", "-C", "/", "echo", "hello"});
  EXPECT_EQ(task.code, 0) << task.err;
  EXPECT_EQ(task.out, "hello\n");
  const CliRun::Result scaled = RunAsNobody({"scale", "default", "2"});
  EXPECT_NE(scaled.code, 0);
  EXPECT_THAT(scaled.err, HasSubstr(absl::StrCat("user ", kNobody, " may not scale pools")));
}

int FreePort() {
  const os::Fd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(probe.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

// Two authorities, a certificate of the first for the server and one of each for a client.
class Certificates {
 public:
  Certificates() {
    directory_ = ::testing::TempDir() + "prefork-tls-XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    MakeAuthority("ours");
    MakeAuthority("theirs");
    Issue("server", "ours");
    Issue("client", "ours");
    Issue("stranger", "theirs");
  }
  ~Certificates() { std::filesystem::remove_all(directory_); }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  std::string Path(const std::string& file) const { return directory_ + "/" + file; }
  std::string Text(const std::string& file) const {
    std::ostringstream text;
    text << std::ifstream(Path(file)).rdbuf();
    return text.str();
  }

 private:
  void Openssl(const std::string& arguments) const {
    const CliRun::Result made =
        CliRun({"sh", "-c", absl::StrCat("cd ", directory_, " && openssl ", arguments)}, "", {})
            .Finish();
    EXPECT_EQ(made.code, 0) << made.err;
  }
  void MakeAuthority(const std::string& name) const {
    Openssl(absl::StrCat("req -x509 -days 2 -subj /CN=", name, kNewKey, name, ".key -out ", name,
                         ".pem"));
  }
  void Issue(const std::string& name, const std::string& authority) const {
    Openssl(absl::StrCat("req -subj /CN=localhost -addext subjectAltName=DNS:localhost", kNewKey,
                         name, ".key -out ", name, ".csr"));
    Openssl(absl::StrCat("x509 -req -days 2 -copy_extensions copy -CAcreateserial -CA ", authority,
                         ".pem -CAkey ", authority, ".key -in ", name, ".csr -out ", name, ".pem"));
  }

  static constexpr char kNewKey[] =
      " -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ";
  std::string directory_;
};

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    listen_ = absl::StrCat("127.0.0.1:", FreePort());
    auto daemon = Daemon::Start({.config = Config()});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
  }
  std::string Config() const {
    return absl::StrCat("[tls]\nlisten = \"", listen_, "\"\ncertificate = \"",
                        certificates_.Path("server.pem"), "\"\nkey = \"",
                        certificates_.Path("server.key"), "\"\nclient_ca = \"",
                        certificates_.Path("ours.pem"), "\"\n", kCommandPool);
  }
  // Connected with the certificate `name`; "": with none.
  std::shared_ptr<grpc::Channel> Connect(const std::string& name) const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = certificates_.Text("ours.pem");
    if (!name.empty()) {
      options.pem_cert_chain = certificates_.Text(name + ".pem");
      options.pem_private_key = certificates_.Text(name + ".key");
    }
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    return grpc::CreateCustomChannel(listen_, grpc::SslCredentials(options), arguments);
  }
  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return context;
  }
  static grpc::Status RunEcho(const std::shared_ptr<grpc::Channel>& channel) {
    const auto tasks = v1::TaskService::NewStub(channel);
    v1::SubmitRequest request;
    request.mutable_task()->mutable_command()->add_argv("true");
    request.mutable_task()->mutable_command()->set_cwd("/");
    v1::SubmitResponse submitted;
    if (grpc::Status status = tasks->Submit(Context().get(), request, &submitted); !status.ok()) {
      return status;
    }
    v1::WaitTaskRequest wait;
    wait.set_task_id(submitted.task_id());
    v1::Task task;
    grpc::Status status = tasks->Wait(Context().get(), wait, &task);
    EXPECT_EQ(task.state(), v1::TASK_STATE_SUCCEEDED) << task.ShortDebugString();
    return status;
  }
  void ExpectRefused(const grpc::Status& status) const {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_THAT(status.error_message(), ::testing::Not(::testing::AnyOf("", HasSubstr("\n"))));
    EXPECT_TRUE(RunEcho(Connect("client")).ok()) << "the daemon serves on";
  }

  const Certificates certificates_;
  std::string listen_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(TlsTest, AClientWithACertificateRunsTasksButSteersNoPools) {
  const auto channel = Connect("client");
  const grpc::Status status = RunEcho(channel);
  EXPECT_TRUE(status.ok()) << status.error_message();
  v1::ScalePoolRequest scale;
  scale.set_name("default");
  scale.set_size(2);
  v1::Pool pool;
  const grpc::Status scaled =
      v1::PoolService::NewStub(channel)->Scale(Context().get(), scale, &pool);
  EXPECT_EQ(scaled.error_code(), grpc::StatusCode::PERMISSION_DENIED) << scaled.error_message();
}

TEST_F(TlsTest, AClientWithoutACertificateIsRefused) { ExpectRefused(RunEcho(Connect(""))); }

TEST_F(TlsTest, ACertificateOfAnotherAuthorityIsRefused) {
  ExpectRefused(RunEcho(Connect("stranger")));
}

TEST_F(TlsTest, PlainTextIsRefused) {
  ExpectRefused(RunEcho(grpc::CreateChannel(listen_, grpc::InsecureChannelCredentials())));
}

TEST_F(TlsTest, WithoutAnAuthorityForClientsNothingIsListenedOn) {
  listen_ = absl::StrCat("127.0.0.1:", FreePort());
  const auto daemon =
      Daemon::Start({.config = absl::StrCat("[tls]\nlisten = \"", listen_, "\"\ncertificate = \"",
                                            certificates_.Path("server.pem"), "\"\nkey = \"",
                                            certificates_.Path("server.key"), "\"\n", kCommandPool),
                     .wait_until_ready = false});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const absl::StatusOr<int> status = (*daemon)->WaitForExit();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_NE(WEXITSTATUS(*status), 0);
  const std::string log = (*daemon)->Log();
  EXPECT_THAT(log, HasSubstr("client_ca"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

}  // namespace
}  // namespace prefork::testing
