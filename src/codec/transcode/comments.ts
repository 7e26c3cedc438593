import type { DescEnum, DescField, DescFile, DescMessage, DescService } from '@bufbuild/protobuf'

/** Where things stand in a FileDescriptorProto, and in the messages and enums in it: the field numbers of descriptor.proto. */
const FILE_MESSAGE = 4
const FILE_ENUM = 5
const FILE_SERVICE = 6
const MESSAGE_FIELD = 2
const MESSAGE_NESTED = 3
const MESSAGE_ENUM = 4
const ENUM_VALUE = 2
const SERVICE_METHOD = 2

/** The comments of .proto files, as far as the descriptors have them (`protoc --include_source_info`); '' where there is none. */
export class Comments {
  readonly #files = new Map<DescFile, ReadonlyMap<string, string>>()

  ofMessage(message: DescMessage): string {
    return this.#at(message.file, pathOfMessage(message))
  }

  ofField(field: DescField): string {
    const { parent } = field
    const index = parent.proto.field.indexOf(field.proto)
    return this.#at(parent.file, [...pathOfMessage(parent), MESSAGE_FIELD, index])
  }

  /** With those of its values, as a list. */
  ofEnum(type: DescEnum): string {
    const { parent, file, proto } = type
    const path =
      parent === undefined
        ? [FILE_ENUM, file.proto.enumType.indexOf(proto)]
        : [...pathOfMessage(parent), MESSAGE_ENUM, parent.proto.enumType.indexOf(proto)]
    const values = proto.value.map((value, i) => [value.name, this.#at(file, [...path, ENUM_VALUE, i])] as const)
    const list = values.filter(([, comment]) => comment !== '').map(([name, comment]) => `- \`${name}\`: ${comment.replaceAll('\n', ' ')}`)
    return [this.#at(file, path), list.join('\n')].filter((part) => part !== '').join('\n\n')
  }

  ofService(service: DescService | undefined): string {
    return service === undefined ? '' : this.#at(service.file, pathOfService(service))
  }

  ofMethod(service: DescService | undefined, name: string): string {
    if (service === undefined) return ''
    const index = service.proto.method.findIndex((method) => method.name === name)
    return this.#at(service.file, [...pathOfService(service), SERVICE_METHOD, index])
  }

  #at(file: DescFile, path: readonly number[]): string {
    let comments = this.#files.get(file)
    if (comments === undefined) {
      comments = readComments(file)
      this.#files.set(file, comments)
    }
    return comments.get(path.join('.')) ?? ''
  }
}

function pathOfMessage(message: DescMessage): number[] {
  const { parent, file, proto } = message
  if (parent === undefined) return [FILE_MESSAGE, file.proto.messageType.indexOf(proto)]
  return [...pathOfMessage(parent), MESSAGE_NESTED, parent.proto.nestedType.indexOf(proto)]
}

function pathOfService({ file, proto }: DescService): number[] {
  return [FILE_SERVICE, file.proto.service.indexOf(proto)]
}

function readComments({ proto }: DescFile): Map<string, string> {
  const comments = new Map<string, string>()
  for (const { path, leadingComments, trailingComments } of proto.sourceCodeInfo?.location ?? []) {
    const text = tidy(leadingComments) || tidy(trailingComments)
    if (text !== '') comments.set(path.join('.'), text)
  }
  return comments
}

/** Without the space that stands behind each `//`. */
function tidy(comment: string): string {
  return comment
    .split('\n')
    .map((line) => line.replace(/^ /, '').trimEnd())
    .join('\n')
    .trim()
}
