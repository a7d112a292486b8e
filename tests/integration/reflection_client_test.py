"""A client that is not C++ and has no .proto file of prefork: it learns the API by reflection, submits a
task and reads its result.

    reflection_client_test.py PREFORKD PREFORK_WORKER
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DEADLINE_S = 30
REFLECTION = "grpc.reflection.v1alpha"


def message_class(pool, name):
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):  # Protobuf 4.22 and later
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def reflection_messages():
    """The part of gRPC's reflection protocol that is needed here, as messages."""
    file = descriptor_pb2.FileDescriptorProto(
        name="reflection.proto", package=REFLECTION, syntax="proto3")
    types = descriptor_pb2.FieldDescriptorProto
    # message -> (field, number, type, repeated, message type)
    layout = {
        "ServerReflectionRequest": [
            ("file_by_filename", 3, types.TYPE_STRING, False, None),
            ("file_containing_symbol", 4, types.TYPE_STRING, False, None),
            ("list_services", 7, types.TYPE_STRING, False, None),
        ],
        "FileDescriptorResponse": [
            ("file_descriptor_proto", 1, types.TYPE_BYTES, True, None),
        ],
        "ServiceResponse": [("name", 1, types.TYPE_STRING, False, None)],
        "ListServiceResponse": [
            ("service", 1, types.TYPE_MESSAGE, True, "ServiceResponse"),
        ],
        "ServerReflectionResponse": [
            ("file_descriptor_response", 4, types.TYPE_MESSAGE, False, "FileDescriptorResponse"),
            ("list_services_response", 6, types.TYPE_MESSAGE, False, "ListServiceResponse"),
        ],
    }
    for name, fields in layout.items():
        message = file.message_type.add(name=name)
        # As in the real protocol, so that an empty list_services is still sent.
        if name == "ServerReflectionRequest":
            message.oneof_decl.add(name="message_request")
        for field, number, kind, repeated, type_name in fields:
            added = message.field.add(
                name=field, number=number, type=kind,
                label=types.LABEL_REPEATED if repeated else types.LABEL_OPTIONAL)
            if type_name:
                added.type_name = f".{REFLECTION}.{type_name}"
            if name == "ServerReflectionRequest":
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return (message_class(pool, f"{REFLECTION}.ServerReflectionRequest"),
            message_class(pool, f"{REFLECTION}.ServerReflectionResponse"))


class Api:
    """Calls any method of a server by name; all types come from the server."""

    def __init__(self, channel):
        self._channel = channel
        self._request, response = reflection_messages()
        self._reflect = channel.stream_stream(
            f"/{REFLECTION}.ServerReflection/ServerReflectionInfo",
            request_serializer=self._request.SerializeToString,
            response_deserializer=response.FromString)
        self._pool = descriptor_pool.DescriptorPool()
        self._known = set()

    def _ask(self, **question):
        return next(self._reflect(iter([self._request(**question)]), timeout=DEADLINE_S))

    def services(self):
        listed = self._ask(list_services="").list_services_response.service
        return {service.name for service in listed}

    def _add_files(self, response):
        for encoded in response.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
            if file.name in self._known:
                continue
            self._known.add(file.name)
            for dependency in file.dependency:
                if dependency not in self._known:
                    self._add_files(self._ask(file_by_filename=dependency))
            self._pool.Add(file)

    def call(self, service, method, /, **fields):
        """The response of a unary method, the list of responses of a streaming one."""
        self._add_files(self._ask(file_containing_symbol=service))
        descriptor = self._pool.FindServiceByName(service).methods_by_name[method]
        request = message_class(self._pool, descriptor.input_type.full_name)
        response = message_class(self._pool, descriptor.output_type.full_name)
        streams = bool(getattr(descriptor, "server_streaming", method.startswith("Read")))
        kind = self._channel.unary_stream if streams else self._channel.unary_unary
        call = kind(f"/{service}/{method}", request_serializer=request.SerializeToString,
                    response_deserializer=response.FromString)
        answer = call(request(**fields), timeout=DEADLINE_S)
        return list(answer) if streams else answer


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def exercise(address):
    with grpc.insecure_channel(address) as channel:
        api = Api(channel)
        tasks = "prefork.v1.TaskService"
        services = api.services()
        check({tasks, "prefork.v1.PoolService", "grpc.health.v1.Health"} <= services, services)

        submitted = api.call(tasks, "Submit", task={
            "pool": "default",
            "command": {"argv": ["sh", "-c", "cat; echo world >&2"], "stdin": b"hello"}})
        task = api.call(tasks, "Wait", task_id=submitted.task_id)
        check(task.state == 4, f"not SUCCEEDED: {task}")
        check(task.result.exit_report.exit_code == 0, task)
        output = api.call(tasks, "ReadOutput", task_id=submitted.task_id)
        text = {piece.stream: piece.data for piece in output}
        check(text == {1: b"hello", 2: b"world\n"}, f"wrong output: {output}")

        # gRPC's own health service describes itself to nobody; its messages are known to everybody.
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        for pool in (b"", b"default"):
            answer = health(b"\x0a" + bytes([len(pool)]) + pool, timeout=DEADLINE_S)
            check(answer == b"\x08\x01", f"pool {pool} is not SERVING: {answer}")

        try:
            api.call(tasks, "Get", task_id=999)
            raise AssertionError("an unknown task was found")
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.NOT_FOUND, error)


def main():
    preforkd, worker = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="prefork-") as folder:
        path = os.path.join(folder, "d.sock")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(os.path.join(folder, "notify"))
        notify.settimeout(DEADLINE_S)
        daemon = subprocess.Popen(
            [preforkd, "--socket", path, "--worker-program", worker,
             "--set", "pool.default.runtime=command", "--set", "pool.default.size=1"],
            env={**os.environ, "NOTIFY_SOCKET": notify.getsockname(), "XDG_CONFIG_HOME": folder})
        try:
            while "READY=1" not in notify.recv(4096).decode().split("\n"):
                pass
            exercise(f"unix:{path}")
        finally:
            daemon.send_signal(signal.SIGTERM)
            code = daemon.wait(DEADLINE_S)
        check(code == 0, f"preforkd ended with {code}")
        check(not os.path.exists(path), "the socket is left behind")


if __name__ == "__main__":
    main()
