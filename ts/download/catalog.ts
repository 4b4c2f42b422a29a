/** The data sets of the papers: where their files are, what they must be, and on what terms they are given. */
import type { Checksum } from './checksum.ts'

export interface CatalogFile {
  readonly name: string
  readonly checksum: Checksum
}

export interface CatalogEntry {
  /** Of the folder that holds the files; null: there is no public one. */
  readonly base: string | null
  readonly files: readonly CatalogFile[]
  readonly licence: string
  /** Where it is described. */
  readonly page: string
  /** What must be accepted first. */
  readonly terms?: string
}

// The checksums are those that the authors publish, or torchvision where they publish none. They were not compared with a download here.
const IDX_FILES = ['train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz', 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz']

function md5(name: string, digest: string): CatalogFile {
  return { name, checksum: { algorithm: 'md5', digest } }
}

function idxFiles(...digests: readonly string[]): CatalogFile[] {
  return IDX_FILES.map((name, at) => md5(name, digests[at]))
}

const CIFAR = {
  base: 'https://www.cs.toronto.edu/~kriz/',
  licence: 'none stated; cite Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009',
  page: 'https://www.cs.toronto.edu/~kriz/cifar.html',
}

export const CATALOG: Readonly<Record<string, CatalogEntry>> = {
  cifar10: { ...CIFAR, files: [md5('cifar-10-binary.tar.gz', 'c32a1d4ab5d03f1284b67883e8d87530')] },
  cifar100: { ...CIFAR, files: [md5('cifar-100-binary.tar.gz', '03b5dce01913d631647c71ecec9e9cb8')] },
  celeba: {
    base: null,
    files: [
      md5('img_align_celeba.zip', '00d2c5bc6d35e252742224ab0c1e8fcb'),
      md5('list_eval_partition.txt', 'd32c9cbf5e040fd4025c592c306e6668'),
      md5('list_attr_celeba.txt', '75e246fa4810816ffd6ee81facbd244c'),
    ],
    licence: 'non-commercial research only, no redistribution; cite Liu et al., Deep Learning Face Attributes in the Wild, 2015',
    page: 'https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html',
    terms: `CelebA is available for non-commercial research purposes only.
All images were obtained from the Internet and are no property of the MMLAB, The Chinese University of Hong Kong, which is not responsible for them.
You agree not to reproduce, duplicate, copy, sell, trade, resell or exploit the images or what is derived from them for any commercial purpose.
You agree not to further copy, publish or distribute any portion of the data set; copies for internal use at a single site of your organization are allowed.
In full, and as it binds you: https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html`,
  },
  mnist: {
    base: 'https://ossci-datasets.s3.amazonaws.com/mnist/',
    files: idxFiles(
      'f68b3c2dcbeaaa9fbdd348bbdeb94873',
      'd53e105ee54ea40749a09fcbcd1e9432',
      '9fb629c4189551a2d022fa330f9573f3',
      'ec29112dd5afa0611ce80d1b7f02629c',
    ),
    licence: 'none stated; LeCun, Cortes and Burges, The MNIST database of handwritten digits',
    page: 'http://yann.lecun.com/exdb/mnist/',
  },
  'fashion-mnist': {
    base: 'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
    files: idxFiles(
      '8d4fb7e6c68d591d4c3dfef9ec88bf0d',
      '25c81989df183df01b3e8a0aad5dffbe',
      'bef4ecab320f06d8554ea6380940ec79',
      'bb300cfdad3c16e7a12a480ee83cd310',
    ),
    licence: 'MIT; Xiao, Rasul and Vollgraf, 2017',
    page: 'https://github.com/zalandoresearch/fashion-mnist',
  },
}
