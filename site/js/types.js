/**
 * The contracts of the page, as types: what it reads, where the visitor is, and what a view is. No code.
 *
 * The records are those of docs/reference/format.md; a file that an older version wrote may lack what is optional here.
 */

/**
 * A `[height, width]` in pixels.
 * @typedef {[number, number]} Size
 *
 * Half-open ranges `[from, to)` of channels, ascending.
 * @typedef {Array<[number, number]>} Ranges
 *
 * A rectangle of an image: `[left, top, right, bottom]`.
 * @typedef {[number, number, number, number]} Box
 *
 * A folder of pictures in a store.
 * @typedef {"cropped"|"max_grads"|"cropped_grad"|"avg_grads"|"max_activ"} PictureKind
 */

/* ---- Records of a store ------------------------------------------------------------------------------------- */

/**
 * @typedef {object} NetworkEntry
 * @property {string} name
 * @property {string} title
 * @property {string} path the folder, relative to the index
 *
 * @typedef {{format: number, networks: NetworkEntry[]}} Index index.json
 *
 * @typedef {object} ReceptiveField
 * @property {Size} size
 * @property {[number, number]} stride
 * @property {[number, number]} offset
 *
 * @typedef {object} Layer
 * @property {string} name
 * @property {string} kind the module's class
 * @property {number} channels how many filters
 * @property {[number, number, number]} shape `(C, H, W)` of its output
 * @property {ReceptiveField|null} receptive_field null where a unit sees the whole input
 * @property {string} data the path of its LayerFile
 *
 * @typedef {object} Stage
 * @property {boolean} complete
 * @property {Record<string, any>|null} [config]
 * @property {Record<string, Ranges>} [made] by layer, the channels that are done
 *
 * @typedef {object} Manifest network.json
 * @property {number} format
 * @property {string} name
 * @property {string} [title]
 * @property {{shape: [number, number, number]}} input
 * @property {{name: string, images: number, classes: string[], skipped: Array<{path: string, reason: string}>}} dataset
 * @property {number} k the length of lists
 * @property {Layer[]} layers in order of execution
 * @property {Array<[string, string]>} edges between names of layers
 * @property {Partial<Record<PictureKind, Record<string, Size>>>} tiles by kind and layer
 * @property {number[]} activation_edges the n edges of the n + 1 bins of `Stats.distribution`
 * @property {{scan: Stage, gradients: Stage, ascent: Stage, circuits?: Stage}} stages
 * @property {Array<{name: string, kind: string, reason: string}>} [layers_skipped]
 * @property {string[]} [expanded] the layers that have expanded weights
 * @property {boolean} [spectra] whether the filters have spectra
 */

/**
 * @typedef {object} Entry an image in a list of a filter's best; an entry by mean has no position and no box
 * @property {number} image
 * @property {number|null} class
 * @property {number} score
 * @property {[number, number]} [position] row and column of the map
 * @property {Box} [box] what the unit at that position sees, within the image
 * @property {number|null} [certificate] relative difference when the crop alone is run
 *
 * @typedef {{distribution: Array<[number, number]>, [name: string]: any}} Stats numbers by name, as in the record
 *   `Stats` of torchlurk/store/schema/filters.py; `distribution` has pairs of bin and number of images
 *
 * @typedef {object} Filter
 * @property {number} channel
 * @property {Entry[]} max the images with the highest single activation
 * @property {Entry[]} avg the images with the highest mean activation
 * @property {{max: Array<[number, number]>, avg: Array<[number, number]>}} classes pairs of class and mean
 * @property {Stats} stats
 * @property {PictureKind[]} pictures the kinds of pictures that the filter has
 * @property {{score: number, ratio: number|null, found: boolean}|null} ascent
 *
 * @typedef {object} Pack a file with many pictures: its items in order, and within an item its kinds in order
 * @property {string} path
 * @property {number[]} items channels, or ids of images
 * @property {string[]} kinds of pictures
 * @property {number[][]} lengths in bytes, by item and kind; 0 where there is none
 *
 * @typedef {object} LayerFile layers/NAME.json
 * @property {number} format
 * @property {string} layer
 * @property {number} channels
 * @property {number} k
 * @property {string[]|null} [names] of the filters
 * @property {Filter[]} filters
 * @property {number} [images] number of images that reach the layer, if it is not all of them
 * @property {{pictures: Pack[], thumbs: Pack[]}} [packs] the pictures; without it each is a file of its own
 *
 * @typedef {Record<string, {path: string, class: number|null}>} Images by image id
 *
 * @typedef {{images: Images, packs?: Pack[]|null}} ImagesFile images.json; in format 1 it is only the Images
 *
 * @typedef {object} Classes classes.json
 * @property {Array<Array<[number, number, number|null]>>} filters by class: layer, channel, selectivity
 *
 * @typedef {object} Preview a filter with its best image
 * @property {number} channel
 * @property {number} image
 * @property {[number, number]} position
 * @property {Box} box
 * @property {{path: string, offset: number, length: number, kind: "max_activ"|"cropped"|"image"}|null} [thumb] a small
 *   picture of it, as a part of a file
 *
 * @typedef {Record<string, Preview[]>} Previews previews.json: by layer, a few of its filters
 */

/**
 * @typedef {[number, number, number, string]} CircuitRow the index of a layer, a channel, its contribution, and the
 *   letters of the kernel
 *
 * @typedef {object} CircuitRecord of one filter
 * @property {number} score
 * @property {number} excitation
 * @property {number} inhibition
 * @property {number} rest
 * @property {Array<[number, number]>} sums by upstream layer: the positive and the negative contributions
 * @property {number} scale the weight that the letter "q" stands for
 * @property {CircuitRow[]} excited_by
 * @property {CircuitRow[]} inhibited_by
 * @property {Array<[number, number, number]>} used_by the index of a downstream layer, a channel, the share of its sum
 *
 * @typedef {object} CircuitsFile circuits/NAME.json
 * @property {number} format
 * @property {string} layer
 * @property {"top"|"all"} images
 * @property {Array<{layer: string, kernel: number[]|null}>} upstream
 * @property {string[]} downstream
 * @property {boolean} repeated
 * @property {CircuitRecord[]} filters
 *
 * @typedef {object} ExpandedFile expanded/NAME.json
 * @property {number} format
 * @property {string} layer
 * @property {Array<{layer: string, kernel: number[]|null}>} upstream
 * @property {Array<{channel: number, scale: number, kernels: Array<[number, number, string]>}>} filters
 */

/**
 * @typedef {[image: number, score: number, position: [number, number], box: Box]} SpectrumRow
 *
 * @typedef {object} SpectrumFile spectrum/NAME.json
 * @property {number} format
 * @property {string} layer
 * @property {number[]} quantiles
 * @property {SpectrumRow[][][]} filters by channel and quantile
 */

/* ---- Records of a comparison -------------------------------------------------------------------------------- */

/**
 * @typedef {object} ComparisonEntry
 * @property {string} name
 * @property {string} title
 * @property {string} path
 *
 * @typedef {{format: number, comparisons: ComparisonEntry[]}} Comparisons comparisons.json
 *
 * @typedef {object} Measure
 * @property {string} name
 * @property {string} title
 * @property {string} says
 * @property {number|null} low
 * @property {number|null} high
 * @property {boolean} signed
 * @property {number[]} edges of its histograms
 *
 * @typedef {object} Distribution of a measure over the filters of a layer
 * @property {number} counted
 * @property {number} unchanged
 * @property {number} mean
 * @property {number} median
 * @property {number} max
 * @property {number|null} most the channel that changed most
 * @property {number[]} histogram
 *
 * @typedef {{summary: string, distributions: Record<string, Distribution>}} LayerSummary of one pair of stores
 *
 * @typedef {object} ComparedLayer
 * @property {string} name
 * @property {string} kind
 * @property {number} channels
 * @property {string} data the path of its ChangesFile
 * @property {LayerSummary[]} changes by pair
 *
 * @typedef {{from: number, to: number, summary: string}} Pair two places in `Comparison.stores`
 *
 * @typedef {object} Comparison comparison.json
 * @property {number} format
 * @property {string} name
 * @property {string} title
 * @property {Array<{name: string, title: string}>} stores in order of time
 * @property {{name: string, images: number}} dataset
 * @property {number} k the length of lists
 * @property {string|null} note
 * @property {Measure[]} measures
 * @property {Pair[]} pairs
 * @property {ComparedLayer[]} layers
 *
 * @typedef {object} PairChanges what changed in a layer between two stores
 * @property {number} from
 * @property {number} to
 * @property {Record<string, Array<number|null>>} values by measure and channel
 * @property {Array<[number, number]|null>|null} partners by channel, the most similar filter and the correlation
 * @property {Array<[number, number, number, number]|null>|null} cross by channel, the activations of two filters on two
 *   filter images
 *
 * @typedef {{format: number, layer: string, channels: number, pairs: PairChanges[]}} ChangesFile layers/NAME.json
 */

/* ---- What a live server sends ------------------------------------------------------------------------------- */

/**
 * @typedef {object} Progress
 * @property {string} work
 * @property {string} unit
 * @property {number} done
 * @property {number} total
 *
 * @typedef {object} LiveLayer a layer whose file exists
 * @property {string} data
 * @property {string} stamp changes when the file does
 * @property {Partial<Record<PictureKind, Ranges>>} made the pictures that exist
 * @property {Preview[]} best
 *
 * @typedef {object} LiveNetwork a store that has a manifest
 * @property {string} name
 * @property {string} path
 * @property {Record<string, string>} files stamps of the files that exist
 * @property {Record<string, LiveLayer>} layers
 * @property {Record<string, boolean>} stages which are complete
 * @property {Progress|null} progress null while nothing runs
 *
 * @typedef {{name: string, path: string, files: Record<string, string>}} LiveComparison a comparison that exists
 *
 * @typedef {{networks: LiveNetwork[], comparisons?: LiveComparison[], waiting: string[]}} Live
 */

/* ---- The page ----------------------------------------------------------------------------------------------- */

/**
 * Where the visitor is; data/route.js reads it from the hash and writes it there.
 * @typedef {object} Route
 * @property {string|null} network
 * @property {string|null} comparison in place of a network
 * @property {string|null} layer
 * @property {number|null} channel
 * @property {string} sort one of SORTS
 * @property {string|null} tile one of TILES; null: the layer's default
 * @property {number|null} class an index into the data set's classes
 * @property {string} show one of SHOWS
 * @property {string|null} by of a comparison: a measure's name; null for the first
 * @property {string|null} pair of a comparison: two of its stores, as "0-2"; null: the first and the last
 * @property {string} order of a comparison's layers, one of ORDERS
 * @property {boolean} circuit whether this is the circuit of the filter
 * @property {number} depth of a circuit: how many layers beyond the filter's, one of DEPTHS
 * @property {number} width of a circuit: how many neighbours of each filter, one of WIDTHS
 * @property {string} direction of a circuit, one of DIRECTIONS
 * @property {string|null} opened of a circuit: nodes that are open beyond the depth, as in "0_2.1"
 * @property {string|null} folded of a circuit: nodes within the depth that are closed
 * @property {string|null} removed of a circuit: nodes that are left out
 *
 * What data/store.js reads. Every promise rejects with a StoreError, or with the signal's reason.
 * @typedef {object} Store
 * @property {(live: Live) => void} follow forget what has changed in stores that are being written
 * @property {(network: string, layer: string) => Partial<Record<PictureKind, Ranges>>|null} made the pictures that a
 *   layer has; null where the manifest says so
 * @property {(signal?: AbortSignal) => Promise<Index>} index
 * @property {(network: string, signal?: AbortSignal) => Promise<string>} folder its URL, with a slash at the end
 * @property {(network: string, signal?: AbortSignal) => Promise<Manifest>} network
 * @property {(network: string, signal?: AbortSignal) => Promise<ImagesFile>} images
 * @property {(network: string, signal?: AbortSignal) => Promise<Classes>} classes
 * @property {(network: string, signal?: AbortSignal) => Promise<Previews>} previews
 * @property {(network: string, data: string, signal?: AbortSignal) => Promise<LayerFile>} layer
 * @property {(network: string, path: string, signal?: AbortSignal) => Promise<CircuitsFile>} circuits
 * @property {(network: string, path: string, signal?: AbortSignal) => Promise<ExpandedFile>} expanded
 * @property {(network: string, path: string, signal?: AbortSignal) => Promise<SpectrumFile>} spectra
 * @property {(signal?: AbortSignal) => Promise<Comparisons>} comparisons
 * @property {(comparison: string, signal?: AbortSignal) => Promise<Comparison>} comparison
 * @property {(comparison: string, data: string, signal?: AbortSignal) => Promise<ChangesFile>} changes
 *
 * What a view function is given.
 * @typedef {object} Context
 * @property {Store} store
 * @property {Route} route
 * @property {AbortSignal} signal aborted when the visitor leaves the view
 * @property {() => Route} current the route now: switches may have changed since the view was made
 * @property {(hash: string) => void} go
 * @property {() => void} search open the search dialog
 * @property {Map<string, any>} memory what views remember for the visitor's return
 * @property {ShowPicture} show
 * @property {(sources: Array<PictureSource|null>) => void} prefetch load pictures while the browser is idle
 *
 * What a view function returns.
 * @typedef {object} View
 * @property {string} title
 * @property {Array<{text: string, short?: string, href: string}>} crumbs below the network or the comparison
 * @property {HTMLElement} node
 * @property {{before?: string|null, after?: string|null}} [steps] hashes that the arrow keys lead to
 * @property {() => void} [ready] called once the node is in the page
 * @property {(route: Route) => void} [update] draw another state of the same page; without it the view is made again
 * @property {(previous: Route) => HTMLElement|null|undefined} [focus] what gets the focus after coming from a route
 *
 * @typedef {(context: Context) => Promise<View>} ViewFunction
 *
 * A picture that is a file. In all sources `name` tells what the picture is, wherever it lies.
 * @typedef {{name: string, url: string}} PictureFile
 *
 * A picture that is a part of a file, the bytes from `start` to `end`. It is fetched together with the others of its
 * `item`, as the pictures of one filter, or, if `whole`, with all of the file.
 * @typedef {{name: string, url: string, start: number, end: number, item?: [number, number], whole?: boolean}} Part
 *
 * A picture that must be looked for first.
 * @typedef {{name: string, find: () => Promise<PictureSource|null>}} PictureToFind
 *
 * @typedef {PictureFile|Part|PictureToFind} PictureSource
 *
 * Where pictures lie; null where there is none.
 * @typedef {object} PictureSources
 * @property {boolean} isPacked whether there are small pictures
 * @property {(kind: string, channel: number) => PictureSource|null} strip the pictures of a filter's best images
 * @property {(kind: string, channel: number) => PictureSource|null} thumb a small picture of the first tile of the
 *   strip, or of the best "image"
 * @property {(id: number) => PictureSource|null} image
 *
 * Show a picture in an element, once it is near the window, or at once if `eager`. If that fails, the element gets the
 * event "error".
 * @typedef {(image: HTMLImageElement, source: PictureSource, eager?: boolean) => void} ShowPicture
 *
 * A layer of a network; `root` is the URL of the network's folder.
 * @typedef {{manifest: Manifest, root: string, layer: Layer, sources: PictureSources, show: ShowPicture}} LayerScene
 *
 * What the parts of a filter's page are drawn from; a side of a comparison is one as well.
 * @typedef {LayerScene & {filter: Filter, images: Images}} Scene
 *
 * A filter's page: its scene, and until when it lives.
 * @typedef {Scene & {signal: AbortSignal}} FilterScene
 *
 * One network of a comparison.
 * @typedef {object} Side
 * @property {string} tag "before" or "after"; of more than two networks "in NAME"
 * @property {string} name
 * @property {Manifest} manifest
 * @property {string} root
 * @property {ShowPicture} show
 * @property {(layer: Layer) => Promise<LayerFile>} readLayer
 *
 * @typedef {Side & LayerScene & {file: LayerFile, filters: Filter[], names?: string[]|null}} LayerSide
 *
 * @typedef {LayerSide & Scene} FilterSide
 *
 * What the views of a compared layer and of a compared filter are drawn from.
 * @typedef {object} ComparedScene
 * @property {Comparison} comparison
 * @property {number} at the layer's index in the comparison
 * @property {ComparedLayer} layer
 * @property {Pair & {at: number}} pair and its index
 * @property {LayerSide[]} sides
 * @property {ChangesFile} file
 * @property {PairChanges} changes those of the pair
 */

/**
 * The images of a filter at a quantile of its maxima.
 * @typedef {object} QuantileImages
 * @property {number} quantile
 * @property {Array<{image: number, score: number, position: [number, number], box: Box}>} images
 */

/* ---- Circuits ------------------------------------------------------------------------------------------------ */

/**
 * A filter directly upstream or downstream of another.
 * @typedef {object} CircuitPart
 * @property {Layer} layer
 * @property {number} channel
 * @property {number} value its contribution; downstream its share
 * @property {number} share of the sum of all absolute contributions, with the sign of its own
 * @property {Kernel|null} kernel
 *
 * Weights in eighths of a scale, row by row.
 * @typedef {{levels: number[], size: Size}} Kernel
 *
 * What circuits/NAME.json says of one filter, checked. The score is the sum of excitation, inhibition and rest.
 * @typedef {object} Circuit
 * @property {number} score
 * @property {number} excitation
 * @property {number} inhibition not positive
 * @property {number} rest
 * @property {number} scale of the kernels
 * @property {boolean} overAllImages or only over the strongest of the filter
 * @property {boolean} repeated whether a layer is called more than once
 * @property {Array<{layer: Layer, excitation: number, inhibition: number}>} upstream
 * @property {Layer[]} downstream
 * @property {CircuitPart[]} excitedBy the strongest first
 * @property {CircuitPart[]} inhibitedBy
 * @property {CircuitPart[]} usedBy
 */

export {};
