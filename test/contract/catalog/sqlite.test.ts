import { catalogSuite } from './suite.ts'
import { sqliteForTest } from './sqlite-catalog.ts'

catalogSuite('SQLite', sqliteForTest)
