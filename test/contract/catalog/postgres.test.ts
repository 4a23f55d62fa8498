import { needs } from '../../support/services/service.ts'
import { postgresForTest } from './postgres-catalog.ts'
import { catalogSuite } from './suite.ts'

const server = needs('postgres')

catalogSuite('PostgreSQL', () => postgresForTest(server.get()))
