#ifndef PREFORK_TESTS_CLIENT_CPP_SERVICE_TEST_BASE_H_
#define PREFORK_TESTS_CLIENT_CPP_SERVICE_TEST_BASE_H_

#include <gtest/gtest.h>

#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "prefork/client.h"
#include "tests/client/cpp/fake_service.h"

namespace prefork::client {

inline constexpr absl::Duration kPatience = absl::Seconds(10);

// A fake service, and clients that are connected to it.
class ServiceTest : public ::testing::Test {
 protected:
  Client Connect(ConnectOptions options = {}) {
    options.address = service_.address();
    absl::StatusOr<Client> client = Client::Connect(std::move(options));
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  FakeService service_;
};

}  // namespace prefork::client

#endif  // PREFORK_TESTS_CLIENT_CPP_SERVICE_TEST_BASE_H_
