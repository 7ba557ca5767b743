"""Writes the descriptors that gRPC reflection serves: src/io/spans/door/descriptors.bin, a google.protobuf.FileDescriptorSet.

Needs the packages opentelemetry-proto, grpcio-health-checking and grpcio-reflection of PyPI in the Python that runs it.
"""

import pathlib

from google.protobuf import descriptor_pb2, text_format
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

ROOTS = [trace_service_pb2, logs_service_pb2, metrics_service_pb2, profiles_service_pb2, health_pb2, reflection_pb2]


def add(files, descriptor):
    """A file behind all that it imports."""
    for needed in descriptor.dependencies:
        add(files, needed)
    if descriptor.name not in files:
        files[descriptor.name] = descriptor_pb2.FileDescriptorProto.FromString(descriptor.serialized_pb)


files = {}
for root in ROOTS:
    add(files, root.DESCRIPTOR)
# Version 1 differs from its older twin by the name alone.
older = next(file for name, file in files.items() if "v1alpha" in name)
text = text_format.MessageToString(older).replace("v1alpha", "v1")
version_1 = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
files[version_1.name] = version_1
whole = descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)
target = pathlib.Path(__file__).parent.parent / "src/io/spans/door/descriptors.bin"
target.write_bytes(whole)
print(f"{target}: {len(files)} files, {len(whole)} bytes")
