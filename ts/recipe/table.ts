/** The recipes, in the order of the papers. */
import { paper1Figure1 } from './paper/paper1-figure1.ts'
import { paper1Figure3 } from './paper/paper1-figure3.ts'
import { paper1Figure4 } from './paper/paper1-figure4.ts'
import { paper1Figure5 } from './paper/paper1-figure5.ts'
import { paper1Figure7 } from './paper/paper1-figure7.ts'
import { paper1Figure8 } from './paper/paper1-figure8.ts'
import { paper1Table1 } from './paper/paper1-table1.ts'
import { paper1Table2 } from './paper/paper1-table2.ts'
import { paper1Table4 } from './paper/paper1-table4.ts'
import { paper1Table5 } from './paper/paper1-table5.ts'
import { paper2Figure8 } from './paper/paper2-figure8.ts'
import { paper2Section42 } from './paper/paper2-section4-2.ts'
import { paper2Section43 } from './paper/paper2-section4-3.ts'
import { paper2Table2 } from './paper/paper2-table2.ts'
import { paper2Table3 } from './paper/paper2-table3.ts'
import { paper2Table4 } from './paper/paper2-table4.ts'
import { paper2Table7 } from './paper/paper2-table7.ts'
import { paper2Table8 } from './paper/paper2-table8.ts'
import type { Recipe } from './recipe.ts'

export const RECIPES: readonly Recipe[] = [
  paper1Table1,
  paper1Table2,
  paper1Table4,
  paper1Table5,
  paper1Figure1,
  paper1Figure3,
  paper1Figure4,
  paper1Figure5,
  paper1Figure7,
  paper1Figure8,
  paper2Table2,
  paper2Table3,
  paper2Table4,
  paper2Table7,
  paper2Table8,
  paper2Figure8,
  paper2Section42,
  paper2Section43,
]
