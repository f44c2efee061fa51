// The same part of the same schema by Apollo Server 5 and the AWS SDK for JavaScript v3.
// CACHE=1 keeps executions for as long as `maxAge` lets them be used. PARTIAL=1 answers failures as data.
import { readFileSync } from 'node:fs'
import { ApolloServer } from '@apollo/server'
import { startStandaloneServer } from '@apollo/server/standalone'
import { executionFrom } from './execution.mjs'
import { TransferClients } from './aws.mjs'
import { LRUCache } from 'lru-cache'

const clients = new TransferClients()
const kept = process.env.CACHE === '1' ? new LRUCache({ max: 20_000 }) : undefined

async function ask(key) {
  const { Execution } = await clients
    .of(key.accountId, key.region)
    .describeExecution({ WorkflowId: key.workflowId, ExecutionId: key.executionId })
  return executionFrom(key, Execution)
}

// A promise is kept, not its value, so that those who ask at the same time share one call.
function look(key, maxAge) {
  if (kept === undefined) return ask(key)
  const id = `${key.accountId}/${key.region}/${key.workflowId}/${key.executionId}`
  const found = kept.get(id)
  if (found !== undefined && Date.now() - found.at <= maxAge * 1000) return found.execution
  const execution = ask(key)
  kept.set(id, { at: Date.now(), execution })
  execution.catch(() => kept.delete(id))
  return execution
}

function failure(key, error) {
  return {
    __typename: 'UpstreamUnavailable',
    code: 'UPSTREAM_UNAVAILABLE',
    message: error.message,
    retryable: true,
    accountId: key.accountId,
    region: key.region,
  }
}

async function lookPartially(key, maxAge) {
  try {
    return await look(key, maxAge)
  } catch (error) {
    return failure(key, error)
  }
}

const lookMany = process.env.PARTIAL === '1' ? lookPartially : look
const server = new ApolloServer({
  typeDefs: readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8'),
  resolvers: {
    Query: {
      execution: (_, { key, maxAge }) => look(key, maxAge),
      executionOrError: (_, { key, maxAge }) => look(key, maxAge),
      executions: (_, { keys, maxAge }) => Promise.all(keys.map(key => lookMany(key, maxAge))),
    },
    ExecutionOrError: { __resolveType: value => value.__typename },
  },
})
const { url } = await startStandaloneServer(server, { listen: { host: '127.0.0.1', port: 0 } })
console.log(url)
