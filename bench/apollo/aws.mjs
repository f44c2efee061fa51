// One client for each account and region, with its assumed role's credentials; sockets are shared and kept open.
import { Agent } from 'node:http'
import { STS } from '@aws-sdk/client-sts'
import { Transfer } from '@aws-sdk/client-transfer'
import { NodeHttpHandler } from '@smithy/node-http-handler'

const requestHandler = new NodeHttpHandler({
  httpAgent: new Agent({ keepAlive: true, maxSockets: 256 }),
  connectionTimeout: 3_000,
  requestTimeout: 10_000,
  throwOnRequestTimeout: true,
})

export class TransferClients {
  #sts = new STS({ requestHandler })
  #clients = new Map()

  of(accountId, region) {
    const name = `${accountId}/${region}`
    let client = this.#clients.get(name)
    if (client === undefined) {
      // The SDK keeps what this returns until shortly before it expires.
      const credentials = () => this.#assume(accountId)
      client = new Transfer({ region, credentials, requestHandler })
      this.#clients.set(name, client)
    }
    return client
  }

  async #assume(accountId) {
    const { Credentials } = await this.#sts.assumeRole({
      RoleArn: `arn:aws:iam::${accountId}:role/TransferGatewayReader`,
      RoleSessionName: 'apollo',
    })
    return {
      accessKeyId: Credentials.AccessKeyId,
      secretAccessKey: Credentials.SecretAccessKey,
      sessionToken: Credentials.SessionToken,
      expiration: Credentials.Expiration,
    }
  }
}
