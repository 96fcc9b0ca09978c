from mesh.proto import otlp_common_pb2 as _otlp_common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Resource(_message.Message):
    __slots__ = ("attributes",)
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.RepeatedCompositeFieldContainer[_otlp_common_pb2.KeyValue]
    def __init__(self, attributes: _Optional[_Iterable[_Union[_otlp_common_pb2.KeyValue, _Mapping]]] = ...) -> None: ...
