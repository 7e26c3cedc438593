import { create, toBinary } from '@bufbuild/protobuf'
import {
  DescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodDescriptorProtoSchema,
  ServiceDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt'

/** A file of descriptors with one service, `a.S`. */
export function descriptorsOf(dependency: string[]): Uint8Array {
  const message = create(DescriptorProtoSchema, { name: 'M' })
  const method = create(MethodDescriptorProtoSchema, { name: 'Call', inputType: '.a.M', outputType: '.a.M' })
  const service = create(ServiceDescriptorProtoSchema, { name: 'S', method: [method] })
  const file = create(FileDescriptorProtoSchema, {
    name: 'a.proto',
    package: 'a',
    syntax: 'proto3',
    dependency,
    messageType: [message],
    service: [service],
  })
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file] }))
}
